"""What a training run leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store import bundle
from model_store.bundle import Bundle
from model_store.clusterer import Assignment, Clusterer
from model_store.layout import MANIFEST
from model_store.manifest import Gate, Manifest, sha256
from training.fit import FittedAutoencoder
from training.identity import Matched
from training.promotion import Quality

NO_FLOOR: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: a bundle's files, and what reports are drawn from."""

    manifest: Manifest
    files: dict[str, bytes]  # all but manifest.json
    fitted: FittedAutoencoder
    clusterer: Clusterer
    quality: Quality
    held_out: NDArray[np.intp]  # rows of the corpus
    judged: NDArray[np.intp]  # of those; of many a part
    assignment: Assignment  # of every row
    strangeness: NDArray[np.float32]  # of every row; above 1 is unknown
    matched: Matched  # the clusters' ids and lineage
    moved: float  # share of the anchors whose id changed; 0 without a predecessor

    def with_gates(self, gates: Sequence[Gate], floor: Mapping[str, float] = NO_FLOOR) -> "Trained":
        """Put the verdict into the manifest, and what it was held against (`floor.py`)."""
        verdict = {"gates": tuple(gates), "floor": dict(floor)}
        return replace(self, manifest=self.manifest.model_copy(update=verdict))

    def load(self, device: str = "cpu") -> Bundle:
        """Build the model from its files, as a worker would.

        Raises:
            BundleInvalid: it does not answer its probe.
        """
        data = self.manifest.to_bytes()
        return bundle.load_bundle(data, self.files, sha256(data), device)

    def all_files(self) -> dict[str, bytes]:
        """Give the bundle as a folder holds it, with `manifest.json`."""
        return {**self.files, MANIFEST: self.manifest.to_bytes()}
