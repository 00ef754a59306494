"""Which pictures a new champion may place elsewhere: a pure decision on rows of the ledger.

Where encoder and PCA are the champion's own, the stored projection says where the picture goes now; it stays
as it is unless its cluster or its being unknown changes, or is too close to call. In all other cases only
classifying it again can tell.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model_store.bundle_files import ENCODER, PROBE_TOLERANCE
from model_store.clusterer import PCA_FILE
from model_store.manifest import Manifest
from model_store.membership import name_hashes
from producer.contracts import ImageRef

if TYPE_CHECKING:
    from model_store.bundle import Bundle

REF_COLUMNS: Final = ("image_id", "bucket", "key", "version_id", "allow_training")
ANSWERED: Final = ("assigned", "unknown")
COLUMNS: Final = (
    *REF_COLUMNS,
    "message_id",
    "status",
    "cluster_id",
    "projection",
    "residual",
    "model_version",
    "generation",
)
CLOSE: Final = 2 * PROBE_TOLERANCE  # two distances, each as far off as a probe may be
BLOCK: Final = 1024  # rows whose distances to all centroids are held at once


def same_space(champion: Manifest, other: Manifest) -> bool:
    """Tell whether projections of the other model are projections of the champion."""
    return champion.preprocess == other.preprocess and all(
        champion.files[name].sha256 == other.files[name].sha256 for name in (ENCODER, PCA_FILE)
    )


@dataclass
class Plan:
    """Goes through the ledger newest rows first, and tells which pictures to classify again."""

    champion: "Bundle"
    generation: int
    comparable: frozenset[str]  # versions in the champion's space
    looked_at: int = 0  # pictures
    stay: int = 0  # answered by an older model, and surely the same by the champion
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # known ones: (from, to)
    _seen: set[int] = field(default_factory=set)

    def next(self, table: pa.Table, erased: Collection[str]) -> list[ImageRef]:
        """Take rows older than all before, and give the pictures whose answer may change.

        Args:
            table: `COLUMNS`, in any order; of a picture's rows the newest counts.
            erased: pictures that are left out.
        """
        rows = self._newest(table, erased)
        if not len(rows):
            return []
        versions = rows["model_version"].to_pylist()
        generations = rows["generation"].fill_null(-1).to_numpy()
        own = self.champion.manifest.version
        answered = np.array([status in ANSWERED for status in rows["status"].to_pylist()])
        old = answered & (generations < self.generation) & np.array([version != own for version in versions])
        known = old & np.array([version in self.comparable for version in versions])
        settled = np.zeros(len(rows), bool)
        at = np.flatnonzero(known)
        settled[at] = self._settled(rows.take(pa.array(at)))
        self.stay += int(settled.sum())
        return [
            ImageRef.model_validate(ref)
            for ref in rows.select(REF_COLUMNS).take(pa.array(np.flatnonzero(old & ~settled))).to_pylist()
        ]

    def _newest(self, table: pa.Table, erased: Collection[str]) -> pa.Table:
        """Keep of each picture that was not seen before the row that its result comes from."""
        table = table.sort_by([("generation", "descending"), ("message_id", "descending")])
        take = []
        ids = table["image_id"].to_pylist()
        for at, (image_id, known_as) in enumerate(zip(ids, name_hashes(ids).tolist(), strict=True)):
            if known_as not in self._seen:
                self._seen.add(known_as)
                if image_id not in erased:
                    take.append(at)
        self.looked_at += len(take)
        return table.take(pa.array(take, pa.int64()))

    def _settled(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Tell of rows with projections in the champion's space whether it surely says the same."""
        clusterer, settled = self.champion.clusterer, np.zeros(len(rows), bool)
        ids = np.array([entry.id for entry in self.champion.clusters], object)
        before, status = rows["cluster_id"].to_pylist(), rows["status"].to_pylist()
        stored, left = rows["projection"].to_pylist(), _left(rows, float(clusterer.residual_weight))
        for start in range(0, len(rows), BLOCK):
            part = [
                at
                for at in range(start, min(start + BLOCK, len(rows)))
                if _fits(stored[at], clusterer.centroids) and not np.isnan(left[at])
            ]
            if not part:
                continue
            offsets = np.array([stored[at] for at in part], np.float32)[:, None] - clusterer.centroids[None]
            distances = np.sqrt(np.einsum("bkp,bkp->bk", offsets, offsets))  # (B, K)
            order = np.sort(distances, axis=1)
            margin = order[:, 1] - order[:, 0] if order.shape[1] > 1 else np.full(len(part), np.inf)
            nearest = distances.argmin(axis=1)
            beyond = np.sqrt(order[:, 0] ** 2 + left[part]) - clusterer.unknown_distance[nearest]
            sure = (margin > CLOSE) & (np.abs(beyond) > CLOSE)
            for row, at in enumerate(part):
                now = (ids[nearest[row]], "unknown" if beyond[row] > 0 else "assigned")
                settled[at] = bool(sure[row]) and now == (before[at], status[at])
                if now != (before[at], status[at]):
                    self.moves[_shown(before[at], status[at]), _shown(*now)] += 1
        return settled


def _left(rows: pa.Table, weight: float) -> NDArray[np.float32]:
    """Give what the PCA leaves of each, as it counts; NaN where it counts and rows of old do not say."""
    if not weight:
        return np.zeros(len(rows), np.float32)
    return np.float32(weight) * np.asarray(rows["residual"].to_numpy(zero_copy_only=False), np.float32)


def _fits(projection: list[float] | None, centroids: NDArray[np.float32]) -> bool:
    return projection is not None and len(projection) == centroids.shape[1]


def _shown(cluster_id: str | None, status: str) -> str:
    return "unknown" if status == "unknown" else str(cluster_id)
