"""The arrays that place an embedding: PCA, KMeans centroids, and what distance is usual.

embeddings (B, D) -> unit length -> minus mean, times components -> projections (B, P) -> nearest centroid

This is the reference in numpy; `predictor.Predictor` does the same on the device, and a test holds
them together. Shapes: B batch, D embedding, P components, K clusters, Q quantiles.
"""

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from producer.errors import BundleInvalid

QUANTILES = np.linspace(0.0, 1.0, 101, dtype=np.float32)  # Q = 101
PCA_FILE = "pca.safetensors"
KMEANS_FILE = "kmeans.safetensors"
BLOCK_FLOATS = 1 << 22  # of differences to centroids held at once
_PCA_ARRAYS = ("mean", "components", "explained_variance")


@dataclass(frozen=True, slots=True)
class Assignment:
    """Nearest centroids: indices (B,) int64 in [0, K), Euclidean distances (B,) float32 in PCA space."""

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clusterer:
    """A fitted PCA and KMeans, as arrays; all float32 but `counts`.

    `distance_quantiles[k]` (Q,) are the quantiles of distance within cluster k, ascending. Farther from
    centroid k than `unknown_distance[k]` is unknown, where what the PCA leaves counts by `residual_weight`: 1
    in the whole space of embeddings, 0 in that of the PCA (bundles of format 1).
    """

    mean: NDArray[np.float32]  # (D,)
    components: NDArray[np.float32]  # (P, D)
    explained_variance: NDArray[np.float32]  # (P,)
    centroids: NDArray[np.float32]  # (K, P)
    counts: NDArray[np.int64]  # (K,)
    distance_quantiles: NDArray[np.float32]  # (K, Q)
    unknown_distance: NDArray[np.float32]  # (K,)
    residual_weight: NDArray[np.float32] = field(default_factory=lambda: np.zeros((), np.float32))  # ()

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            BundleInvalid: shapes do not fit, or a number is not finite.
        """
        (p, d), k = self.components.shape, len(self.centroids)
        shapes = {
            "mean": (d,),
            "explained_variance": (p,),
            "centroids": (k, p),
            "counts": (k,),
            "distance_quantiles": (k, len(QUANTILES)),
            "unknown_distance": (k,),
            "residual_weight": (),
        }
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise BundleInvalid(f"{name} has shape {found.shape}, the others call for {shape}")
            if not np.isfinite(found).all():
                raise BundleInvalid(f"{name} holds a number that is not finite")

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take embeddings (B, D) to projections (B, P)."""
        return np.asarray((unit_length(embeddings) - self.mean) @ self.components.T, np.float32)

    def assign(self, projections: NDArray[np.float32]) -> Assignment:
        """Give each projection (B, P) its nearest centroid.

        Source: the assignment step of Lloyd (1982); equals scikit-learn's, see test_assign_equals_sklearn.
        """
        n, rows = len(projections), max(1, BLOCK_FLOATS // self.centroids.size)
        indices, distances = np.empty(n, np.int64), np.empty(n, np.float32)
        for at in range(0, n, rows):
            offsets = projections[at : at + rows, None, :] - self.centroids[None, :, :]  # (rows, K, P)
            squares = np.einsum("bkp,bkp->bk", offsets, offsets)
            indices[at : at + rows] = squares.argmin(axis=1)
            distances[at : at + rows] = np.sqrt(squares.min(axis=1))
        return Assignment(indices, distances)

    def residuals(
        self, embeddings: NDArray[np.float32], projections: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Give what the PCA leaves of embeddings (B, D), squared: (B,); `projections` are theirs."""
        whole = np.square(unit_length(embeddings) - self.mean).sum(axis=1)
        # components are orthonormal, so the rest follows by Pythagoras
        return np.asarray(np.maximum(whole - np.square(projections).sum(axis=1), 0), np.float32)

    def strangeness(self, assignment: Assignment, residuals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give how far out pictures are (B,), in units of the distance beyond which they are unknown."""
        radii = np.sqrt(np.square(assignment.distances) + self.residual_weight * residuals)
        # a model of pure copies may have nothing that is usual
        strange: NDArray[np.float32] = radii / np.maximum(self.unknown_distance, 1e-12)[assignment.indices]
        return strange

    def to_files(self) -> dict[str, bytes]:
        """Write the two files of a bundle."""
        arrays = {one.name: np.asarray(getattr(self, one.name), order="C") for one in fields(self)}
        pca = {name: arrays.pop(name) for name in _PCA_ARRAYS}
        return {PCA_FILE: save(pca), KMEANS_FILE: save(arrays)}

    @classmethod
    def from_files(cls, pca: bytes, kmeans: bytes) -> Self:
        """Read what `to_files` wrote.

        Raises:
            BundleInvalid: an array is missing or has the wrong shape.
        """
        try:
            return cls(**load(pca), **load(kmeans))
        except TypeError as error:
            raise BundleInvalid(f"{PCA_FILE} and {KMEANS_FILE} lack an array: {error}") from error


def unit_length(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to length one; a row of zeros stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: NDArray[np.float32] = embeddings / np.maximum(lengths, np.float32(1e-12))
    return unit
