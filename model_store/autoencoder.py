"""The convolutional autoencoder: pictures to embeddings (the worker runs this half), and back.

```
(B, 3, S, S) in [0, 1]
   normalise      fixed, (x - 0.5) / 0.25
   stem           3x3, stride 2                      S/2
   stage per width: residual block, stride 2 after the first   S/2, S/4, S/8 ...
   global mean    (B, widths[-1])
   linear         (B, D)          the embedding, not normalised
   ...
   linear, grid   the mirror: upsample by 2 and convolve, stage by stage
   pixel shuffle  (B, 3, S, S) in (0, 1)
```

The shapes follow from `Architecture`, which a manifest carries: weights alone restore both halves. The
encoder of another family is another class (`encoders.py`), whose decoder may draw smaller and scale up.
Shapes: B batch, S side, D embedding.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from model_store.architecture import Architecture

PIXEL_MEAN = 0.5
PIXEL_SCALE = 0.25


def to_images(pixels: Tensor) -> Tensor:
    """Turn stored pixels into the encoder's input, the same in training and in serving.

    Args:
        pixels: (B, S, S, 3) uint8, on any device.

    Returns:
        (B, 3, S, S) float32 in [0, 1], same device, channels last in memory.
    """
    return pixels.permute(0, 3, 1, 2).float() / 255


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut: (B, I, H, W) to (B, O, H/stride, W/stride).

    Source: the basic block of He et al. (2016), Deep Residual Learning; the shortcut of a strided
    block averages before its 1x1 convolution (He et al. 2019, Bag of Tricks, ResNet-D).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride != 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the shortcut, then ReLU."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Encoder(nn.Module):
    """Pictures to embeddings, the only part a worker loads: base of those of all families."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    def forward(self, images: Tensor) -> Tensor:
        """Embed pictures: (B, 3, S, S) float32 in [0, 1] to (B, D) float32, not normalised."""
        raise NotImplementedError


class ResidualEncoder(Encoder):
    """The encoder that is drawn above; it is trained with its decoder."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        widths = architecture.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.stages = nn.Sequential(
            ResidualBlock(widths[0], widths[0]),
            *(ResidualBlock(a, b, stride=2) for a, b in pairwise(widths)),
        )
        self.embed = nn.Linear(widths[-1], architecture.embedding_dim)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def feature_map(self, images: Tensor) -> Tensor:
        """Give the last feature map: (B, 3, S, S) in [0, 1] to (B, widths[-1], G, G), G the grid."""
        x = (images - PIXEL_MEAN) / PIXEL_SCALE
        x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.stages(self.stem(x))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Embed pictures: (B, 3, S, S) float32 in [0, 1] to (B, D) float32, unbounded."""
        pooled = self.feature_map(images).mean(dim=(2, 3))  # (B, widths[-1])
        embedding: Tensor = self.embed(pooled)
        return embedding


class Decoder(nn.Module):
    """Embeddings back to pictures: for training and for the report, never for serving."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.widths[::-1]
        grid = architecture.grid
        self.unpool = nn.Sequential(
            nn.Linear(architecture.embedding_dim, widths[0] * grid * grid),
            nn.Unflatten(1, (widths[0], grid, grid)),
        )
        self.stages = nn.Sequential(
            *(_upsample(a, b) for a, b in pairwise(widths)),
        )
        self.to_pixels = nn.Sequential(nn.Conv2d(widths[-1], 12, 3, 1, 1), nn.PixelShuffle(2))
        drawn_whole = architecture.drawn_size == architecture.input_size
        self.scale = nn.Identity() if drawn_whole else nn.Upsample(architecture.input_size, mode="bilinear")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, embeddings: Tensor) -> Tensor:
        """Draw pictures: (B, D) to (B, 3, S, S) in (0, 1)."""
        drawn: Tensor = self.scale(self.draw(embeddings))
        return drawn

    def draw(self, embeddings: Tensor) -> Tensor:
        """Draw as large as the decoder draws by itself, `drawn_size`."""
        grid = torch.relu(self.unpool(embeddings)).contiguous(memory_format=torch.channels_last)
        pixels: Tensor = self.to_pixels(self.stages(grid))
        return torch.sigmoid(pixels)


def _upsample(inputs: int, outputs: int) -> nn.Sequential:
    """Double the side: (B, I, H, W) to (B, O, 2H, 2W)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Upsample(scale_factor=2, mode="nearest"),
    )
