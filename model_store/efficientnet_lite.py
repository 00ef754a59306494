"""EfficientNet-Lite0 without its classifier and without batch norms: those are folded into the convolutions.

Written out, so that a worker needs no more than a bundle, and training no more than the published weights.

```
(B, 3, S, S) in [-1, 1]
   stem          3x3, stride 2                                        S/2, 32 channels
   16 blocks     1x1 expand, depthwise 3x3 or 5x5, 1x1 project        S/32, 320 channels
   head          1x1, global mean
(B, 1280)
```

Padding is TensorFlow's: what a stride leaves over goes to the right and to the bottom.
Source: Tan and Le (2019), EfficientNet; Lite is Liu (2020): ReLU6 for swish, no squeeze and excitation.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.architecture import LITE0_FEATURES

STAGES: Final = (  # repeats, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SamePaddedConv2d(nn.Conv2d):
    """A convolution whose output side is the input side / stride, rounded up."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, I, H, W) to (B, O, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        if down or right:
            x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands, self.has_shortcut = expansion != 1, stride == 1 and inputs == outputs
        if self.expands:
            self.expand_conv = SamePaddedConv2d(inputs, wide, 1)
        self.depthwise_conv = SamePaddedConv2d(wide, wide, kernel, stride, groups=wide)
        self.project_conv = SamePaddedConv2d(wide, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H/stride, W/stride)."""
        wide = F.relu6(self.expand_conv(x)) if self.expands else x
        filtered = F.relu6(self.depthwise_conv(wide))
        y: Tensor = self.project_conv(filtered)
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SamePaddedConv2d(3, 32, 3, 2)
        blocks, inputs = list[nn.Module](), 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = SamePaddedConv2d(inputs, LITE0_FEATURES, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Give features: (B, 3, S, S) float32 in [-1, 1] to (B, 1280) float32, in [0, 6]."""
        x = F.relu6(self.conv_stem(images))
        x = F.relu6(self.conv_head(self.blocks(x)))
        return x.mean((2, 3))
