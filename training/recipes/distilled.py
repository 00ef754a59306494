"""`distilled`: the embedding predicts what a large frozen network says of the picture, and draws it again.

```
picture -> teacher -> PCA -> unit length -> target (B, D)     once, before the first step
        -> random view -> encoder -> embedding (B, D)         every step
              regression       1 - cosine with the target, which is of the picture, not of the view
              reconstruction   mean squared error of the view
```

The embedding itself is what predicts: its angles become the teacher's, and KMeans works on angles.
For photographs. Of handwriting an ImageNet teacher knows little: there `pure` does better
(benchmarks/RESULTS.md).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from model_store.architecture import Architecture
from model_store.autoencoder import to_images
from training.augment import augment
from training.augmentation import Augmentation
from training.recipes.objective import Batch, Described, Losses, Objective
from training.teacher_targets import TeacherTargets
from training.teachers import LITE0_TEACHER, load_teacher


class Distilled(Objective):
    """Regression of a view's embedding onto a teacher's features of its picture, plus reconstruction."""

    teacher_name = LITE0_TEACHER
    has_targets = True

    def __init__(self, architecture: Architecture, augmentation: Augmentation) -> None:
        super().__init__(architecture, augmentation)
        self._targets: TeacherTargets | None = None  # no module: it is not trained, copied or kept

    def targets(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        folder: Path | None = None,
        described: Described = lambda _: None,
    ) -> NDArray[np.float32]:
        """Give the teacher's features of these rows, (M, D) of unit length; the first call fits their PCA.

        They take 4 D bytes a picture.

        Raises:
            ConfigurationError: the teacher is not installed.
        """
        if self._targets is None:
            teacher = load_teacher(self.teacher_name, next(self.encoder.parameters()).device)
            self._targets = TeacherTargets(teacher, self.encoder.architecture.embedding_dim)
        return self._targets(pixels, rows, folder, described)

    def forward(self, batch: Batch) -> Losses:
        """Give `regression` (0 to 2), `reconstruction` (of views in [0, 1]) and their sum, `total`.

        A batch without targets is only drawn again.
        """
        views = augment(to_images(batch.pixels), self.augmentation)
        embeddings = self.encoder(views)  # (B, D)
        reconstruction = F.mse_loss(self.decoder(embeddings).float(), views)
        if batch.targets is None:
            return {"total": reconstruction, "reconstruction": reconstruction}
        regression = 1 - F.cosine_similarity(embeddings.float(), batch.targets).mean()
        return {
            "total": regression + reconstruction,
            "regression": regression,
            "reconstruction": reconstruction,
        }
