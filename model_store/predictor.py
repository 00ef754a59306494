"""One fused predict on the device: pixels in; encode, project, assign, judge there; one copy back.

uint8 (B, S, S, 3) -> device -> [0, 1] -> encoder (B, D) -> unit length -> PCA (B, P) -> distances (B, K)
-> the A nearest, typicality, unknown -> one float32 array (B, P + 2A + 3) back to the host
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.autoencoder import Encoder, to_images
from model_store.clusterer import QUANTILES, Clusterer
from producer.errors import ConfigurationError

N_NEAREST = 4  # A: the assigned cluster and up to three alternatives


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of B pictures.

    `nearest` (B, A) int64 and `distances` (B, A) float32 are sorted, nearest first. `typicality` (B,) in
    [0, 1] is the share of the cluster's own pictures farther out. `unknown` (B,) bool. `residuals` (B,) are
    squared lengths of what the PCA leaves of the embedding at unit length: its reconstruction error.
    """

    projections: NDArray[np.float32]  # (B, P)
    nearest: NDArray[np.int64]
    distances: NDArray[np.float32]
    typicality: NDArray[np.float32]
    unknown: NDArray[np.bool_]
    residuals: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.nearest)

    def __getitem__(self, rows: slice) -> "Prediction":
        """Give some of the rows, as views."""
        return Prediction(
            self.projections[rows],
            self.nearest[rows],
            self.distances[rows],
            self.typicality[rows],
            self.unknown[rows],
            self.residuals[rows],
        )

    @staticmethod
    def joined(parts: "Sequence[Prediction]") -> "Prediction":
        """Give the rows of all, in order; of a single one as they are."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(Prediction)]
        return Prediction(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Predictor:
    """A model on its device. Not thread-safe by promise: one device thread calls it."""

    def __init__(self, encoder: Encoder, clusterer: Clusterer, device: str) -> None:
        """Move everything to the device, in the layout it computes fastest in."""
        self.device = torch.device(device)
        self.encoder = encoder.eval().requires_grad_(requires_grad=False)
        self.encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._components, self._centroids, self._quantiles, self._unknown_distance = (
            torch.from_numpy(array).to(self.device)
            for array in (
                clusterer.mean,
                clusterer.components,
                clusterer.centroids,
                clusterer.distance_quantiles,
                clusterer.unknown_distance,
            )
        )
        self._residual_weight = float(clusterer.residual_weight)
        self.n_components = len(clusterer.components)
        self.n_nearest = min(N_NEAREST, len(clusterer.centroids))

    def __call__(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict for pixels (B, S, S, 3) uint8, B at least 1."""
        with torch.inference_mode():
            answer = self._answer(torch.from_numpy(pixels))
        p, a = self.n_components, self.n_nearest
        return Prediction(
            projections=answer[:, :p],
            nearest=answer[:, p : p + a].astype(np.int64),
            distances=answer[:, p + a : p + 2 * a],
            typicality=answer[:, -3],
            unknown=answer[:, -2] > 0,
            residuals=answer[:, -1],
        )

    def _answer(self, pixels: Tensor) -> NDArray[np.float32]:
        """Predict on the device; what does not fit its memory is done in halves."""
        try:
            answer: NDArray[np.float32] = self._predict(pixels).cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if len(pixels) == 1 or not _out_of_memory(error):
                raise
        else:
            return answer
        # out here: the error's traceback holds what did not fit
        middle = len(pixels) // 2
        return np.concatenate([self._answer(pixels[:middle]), self._answer(pixels[middle:])])

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pixels (B, S, S, 3) uint8 to (B, D), not normalised."""
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = self._encode(torch.from_numpy(pixels)).cpu().numpy()
            return embeddings

    def _encode(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.encoder(to_images(pixels.to(self.device, non_blocking=True)))
        return embeddings

    def _predict(self, pixels: Tensor) -> Tensor:
        unit = torch.nn.functional.normalize(self._encode(pixels))
        centred = unit - self._mean
        projections = centred @ self._components.T
        # components are orthonormal, so the rest follows by Pythagoras
        residuals = (centred.square().sum(1) - projections.square().sum(1)).clamp(min=0)
        # the exact form: |x|2 - 2xc + |c|2 loses the digits that tell near centroids apart
        distances = torch.cdist(projections, self._centroids, compute_mode="donot_use_mm_for_euclid_dist")
        near, index = distances.topk(self.n_nearest, largest=False)  # (B, A)
        first, nearest = near[:, :1].contiguous(), index[:, 0]
        inside = torch.searchsorted(self._quantiles[nearest], first)  # (B, 1): how many quantiles lie nearer
        typicality = 1 - inside.clamp(max=len(QUANTILES) - 1) / (len(QUANTILES) - 1)
        radii = (first[:, 0].square() + self._residual_weight * residuals).sqrt()
        unknown = radii > self._unknown_distance[nearest]
        judged = torch.stack([typicality[:, 0], unknown.float(), residuals], dim=1)
        return torch.cat([projections, index.float(), near, judged], dim=1)


def _out_of_memory(error: Exception) -> bool:
    """Tell a full device or machine from other errors; torch says the latter as a bare RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def best_device(wanted: str = "auto") -> str:
    """Resolve `auto` to `cuda` where there is one, else `cpu`.

    Raises:
        ConfigurationError: CUDA is asked for and torch sees none.
    """
    present = torch.cuda.is_available()
    if wanted.startswith("cuda") and not present:
        raise ConfigurationError(
            f"the device is to be {wanted!r} and torch sees no CUDA: set it to 'auto' or 'cpu', or install "
            "the driver and a CUDA build of torch"
        )
    if wanted != "auto":
        return wanted
    return "cuda" if present else "cpu"
