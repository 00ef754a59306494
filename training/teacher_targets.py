"""What a small encoder is asked to predict: a teacher's features, made short.

```
rows, in random order -> features (M, T) -> unit length -> centred, PCA to P -> unit length -> (M, P) float32
                         a batch at a time     PCA of the first call's first rows, used for all others
```
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from training.room import release, room, take
from training.teachers import Teacher

BATCH_SIZE: Final = 32  # larger ones leave the cache of a CPU: 32 was 1.3 times as fast as 64
FITTED_ON: Final = 8192  # pictures at most: their features are all that is in memory at once

Floats = NDArray[np.float32]


@dataclass
class TeacherTargets:
    """A teacher and the projection of its features; fitted by the first call."""

    teacher: Teacher
    n_components: int
    random_state: int = 0
    pca: PCA | None = None

    def __call__(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        folder: Path | None = None,
        described: Callable[[int], None] = lambda _: None,
    ) -> Floats:
        """Give the targets of these rows.

        Args:
            pixels: (N, S, S, 3); may be a memory map, of which a batch at a time is read.
            rows: (M,) in [0, N).
            folder: for a file, where they are too many for memory.
            described: called after each batch with its length.

        Returns:
            (M, P) of unit length, in the order of `rows`. P is `n_components`, whatever the corpus: a
            corpus or a teacher of fewer dimensions leaves the last ones at 0.
        """
        targets = room((len(rows), self.n_components), np.float32, folder)
        order = np.random.default_rng(self.random_state).permutation(len(rows))
        for start in range(0, len(rows), FITTED_ON):
            chosen = np.sort(order[start : start + FITTED_ON])
            features = self._features(pixels, rows[chosen], described)
            if self.pca is None:
                self.pca = self._fit(features)
            projected = unit_length(self.pca.transform(features))
            targets[chosen, : projected.shape[1]] = projected
            release(targets)
        return targets

    def _features(
        self, pixels: NDArray[np.uint8], rows: NDArray[np.intp], described: Callable[[int], None]
    ) -> Floats:
        """Give features (M, T) of unit length."""
        parts = list[Floats]()
        for start in range(0, len(rows), BATCH_SIZE):
            parts.append(self.teacher.features(take(pixels, rows[start : start + BATCH_SIZE])))
            described(len(parts[-1]))
        return unit_length(np.concatenate(parts))

    def _fit(self, features: Floats) -> PCA:
        n_components = min(self.n_components, *features.shape)
        return PCA(n_components, svd_solver="covariance_eigh").fit(features)


def unit_length(vectors: Floats) -> Floats:
    """Scale the rows of (M, T) to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
