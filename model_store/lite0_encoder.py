"""EfficientNet-Lite0, frozen, as the encoder: its pooled features are the embedding.

```
(B, 3, S, S) in [0, 1] -> its published normalisation, (255 x - 127) / 128 -> trunk -> (B, 1280) in [0, 6]
```
Nothing projects the features: what tells a kind apart that was never learnt lies in directions in which the
learnt kinds hardly differ (docs/decisions/0011).
"""

from typing import Final

import torch
from torch import Tensor
from torch.backends import cudnn

from model_store.architecture import Architecture
from model_store.autoencoder import Encoder
from model_store.efficientnet_lite import EfficientNetLite0

CPU_BATCH: Final = 32  # larger ones leave the cache of a CPU, and 256 at 160 px take 0.6 GB in one layer


class Lite0Encoder(Encoder):
    """The trunk of EfficientNet-Lite0, batch norms folded in: 3.4 M weights."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.trunk = EfficientNetLite0()
        # TF32 through fifty layers is off by 0.01 at unit length: a CPU's bundle would fail its probe.
        # For good, in the whole process: one thread predicts while another probes the next model.
        cudnn.allow_tf32 = False
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Embed pictures: (B, 3, S, S) float32 in [0, 1] to (B, 1280) float32 in [0, 6]."""
        size = CPU_BATCH if images.device.type == "cpu" else len(images)
        return torch.cat([self.trunk((part * 255 - 127) / 128) for part in images.split(size)])  # type: ignore[no-untyped-call]
