"""What a recipe is: pictures in, named losses out, over one encoder and one decoder.

```
fit -> objective.targets(pixels, rows)   once for training, once for validation, before the first step
    -> objective(Batch)                  every step: {"total": ..., "reconstruction": ..., ...}
```

An objective may own heads, prototypes or a teacher: they live in it, and go when training ends.
Only `encoder` and `decoder` are kept. Weights that it freezes are the same in each attempt at a fit: no
checkpoint holds them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.architecture import Architecture
from model_store.autoencoder import Decoder
from model_store.encoders import new_encoder
from training.augmentation import Augmentation

Losses = dict[str, Tensor]
"""Scalars by name; `total` is what is minimised and what early stopping watches."""

Described = Callable[[int], None]
"""Told how many pictures more have got their targets."""


@dataclass(frozen=True)
class Batch:
    """One step's pictures: `pixels` (B, S, S, 3) uint8; `targets` (B, T) float32 if the recipe has any."""

    pixels: Tensor
    targets: Tensor | None = None


class Objective(nn.Module):
    """Base of all recipes: an encoder, its decoder, and what to ask of them."""

    has_targets: ClassVar[bool] = False

    def __init__(self, architecture: Architecture, augmentation: Augmentation) -> None:
        super().__init__()
        self.augmentation = augmentation
        self.encoder = new_encoder(architecture)
        self.decoder = Decoder(architecture)

    def targets(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        folder: Path | None = None,
        described: Described = lambda _: None,
    ) -> NDArray[np.float32] | None:
        """Give what the pictures are regressed onto, or None.

        Asked once for the training pictures and then once for the validation pictures, by each attempt at a
        fit: they go with it, since what is kept beyond would outlive a picture that has to be erased.

        Args:
            pixels: (N, S, S, 3) uint8; may be a memory map.
            rows: (M,), which of them.
            folder: for a file without a name, where they are too many for memory; the system's if None.
            described: called after each batch.

        Returns:
            (M, T) in the order of `rows`.
        """
        _ = pixels, rows, folder, described
        return None

    def frozen(self) -> dict[str, Tensor]:
        """Give the weights that are not trained, by name."""
        return {name: weights for name, weights in self.named_parameters() if not weights.requires_grad}

    def frozen_digest(self) -> str:
        """Tell those from others, since a checkpoint goes on with the same only; empty if there are none."""
        digest = hashlib.sha256()
        for weights in (frozen := self.frozen()).values():
            digest.update(weights.detach().cpu().numpy().tobytes())
        return f" {digest.hexdigest()}" if frozen else ""

    def trained(self) -> dict[str, Tensor]:
        """Give the state but for the frozen weights."""
        frozen = self.frozen()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}

    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `trained` gave; the frozen weights stay."""
        self.load_state_dict({**self.frozen(), **tensors})

    def forward(self, batch: Batch) -> Losses:
        """Give the losses of one batch; `total` is among them."""
        raise NotImplementedError
