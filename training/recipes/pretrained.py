"""`pretrained`: the encoder is a large network that others trained; it stays as it was, in the bundle.

```
picture -> encoder, frozen -> embedding (B, 1280)     once, before the first step
              embedding -> decoder -> picture          every step: mean squared error, as small as it draws
```

Best for photographs, and for telling kinds that were never learnt; at 28 times the multiply-adds of
`distilled` for each picture, also when serving (docs/decisions/0011). The same picture has the same
embedding in every model of this recipe.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.architecture import Architecture
from model_store.autoencoder import to_images
from model_store.lite0_encoder import Lite0Encoder
from training.augmentation import Augmentation
from training.recipes.objective import Batch, Described, Losses, Objective
from training.room import release, room, take
from training.teachers import published_lite0

BATCH_SIZE = 128


class Pretrained(Objective):
    """Reconstruction from what a frozen network says of the picture."""

    encoder: Lite0Encoder
    has_targets = True

    def __init__(self, architecture: Architecture, augmentation: Augmentation) -> None:
        """Take the published weights; a champion's, if the fit starts from one, replace them.

        Raises:
            ConfigurationError: they are not installed.
        """
        super().__init__(architecture, augmentation)
        self.encoder.trunk.load_state_dict(published_lite0().state_dict())
        self.encoder.requires_grad_(requires_grad=False)

    def targets(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        folder: Path | None = None,
        described: Described = lambda _: None,
    ) -> NDArray[np.float32]:
        """Give the embeddings of these rows, (M, 1280): 5 KiB a picture."""
        device = next(self.encoder.parameters()).device
        targets = room((len(rows), self.encoder.architecture.embedding_dim), np.float32, folder)
        for start in range(0, len(rows), BATCH_SIZE):
            part = torch.from_numpy(take(pixels, rows[start : start + BATCH_SIZE])).to(device)
            with torch.inference_mode():
                targets[start : start + len(part)] = self.encoder(to_images(part)).cpu().numpy()
            release(targets)
            described(len(part))
        return targets

    def forward(self, batch: Batch) -> Losses:
        """Give `reconstruction`, which is also the `total`; a batch without targets is embedded first."""
        images = to_images(batch.pixels)
        embeddings = self.encoder(images) if batch.targets is None else batch.targets
        coarse = F.adaptive_avg_pool2d(images, self.decoder.architecture.drawn_size)
        reconstruction = F.mse_loss(self.decoder.draw(embeddings).float(), coarse)
        return {"total": reconstruction, "reconstruction": reconstruction}
