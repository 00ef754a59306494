"""The champion, as far as its successor must know it: where it puts the pictures of the successor's corpus.

Both are shown the same pictures, each as its own preprocess wants them, so that they may differ in input
size, recipe and architecture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import safetensors.numpy
import structlog
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, Encoder
from model_store.bundle import Bundle, load_decoder
from model_store.bundle_files import REFERENCE
from model_store.membership import name_hashes
from model_store.preprocess import Preprocess
from model_store.registry import Registry, Target
from producer.errors import BundleInvalid
from training.corpus import Corpus
from training.fit_settings import FitSettings
from training.progress import SILENT, Progress
from training.room import take

log = structlog.get_logger(__name__)

BATCH: Final = 256
FAR_QUANTILE: Final = 0.999
LEAST_RADIUS: Final = 0.1  # of a cluster, to the mean of all: one of copies is not that narrow
MIN_SEEN_PER_CLUSTER: Final = 5  # fewer pictures that both learned from compare nothing

Reread = Callable[[Preprocess], Corpus]
"""Decodes the corpus anew for another preprocess; pictures that are gone meanwhile are missing from it."""


@dataclass(frozen=True, eq=False)
class Predecessor:
    """A champion and its view of a corpus of N pictures."""

    bundle: Bundle
    decoder: Decoder | None  # None if that file is lost
    pixels: NDArray[np.uint8]  # (O, S, S, 3), decoded for it; usually mapped
    rows: NDArray[np.intp]  # (M,), ascending: the rows of the corpus that it could see
    own_rows: NDArray[np.intp]  # (M,): where these are in `pixels`
    labels: NDArray[np.int64]  # (N,), nearest cluster; -1 if it could not see the picture
    unknown: NDArray[np.bool_]  # (N,), what it could not see included
    far: NDArray[np.bool_]  # (N,), beyond the p99.9 distance of its own pictures
    seen: NDArray[np.bool_]  # (N,), it learned from the picture

    @property
    def ids(self) -> tuple[str, ...]:
        """Give the ids of its clusters, by index."""
        return tuple(entry.id for entry in self.bundle.clusters)

    @property
    def taken(self) -> frozenset[str]:
        """Give all ids that it knows to be taken: its own, and those of its forebears."""
        return frozenset({*self.ids, *self.bundle.retired})

    @property
    def side(self) -> int:
        """Give the side of its input, in pixels."""
        return self.bundle.manifest.preprocess.input_size

    def weights(self, settings: FitSettings) -> tuple[Encoder, Decoder] | None:
        """Give its weights for a successor of the same kind to start from, if that is wanted."""
        if self.decoder is None or not (settings.from_champion and self.is_of(settings)):
            return None
        return self.bundle.predictor.encoder, self.decoder

    def is_of(self, settings: FitSettings) -> bool:
        """Tell whether its recipe and architecture are these."""
        manifest = self.bundle.manifest
        return (manifest.recipe, manifest.architecture) == (settings.recipe, settings.network)

    def anchors(self, names: Sequence[str], at_most: int) -> NDArray[np.intp]:
        """Choose the rows that are compared: by a hash of their names, so always the same.

        Only pictures that it learned from, if there are enough of them; else any that it could see.
        """
        visible = self.labels >= 0
        both = visible & self.seen
        enough = both.sum() >= MIN_SEEN_PER_CLUSTER * len(self.ids)
        rows = np.flatnonzero(both if enough else visible)
        order = by_hash([names[int(row)] for row in rows], "anchor")
        return np.sort(rows[order[:at_most]])

    def trimmed(self, rows: NDArray[np.intp], at_most: float) -> NDArray[np.intp]:
        """Leave out rows far from all it knows; none if they are a larger share: then it is a new kind."""
        far = self.far[rows] & (self.labels[rows] >= 0)
        return rows[~far] if far.mean() <= at_most else rows

    def shown(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Give those of the rows that it could see, and what it sees: (R,), (R, S, S, 3)."""
        own = np.searchsorted(self.rows, rows)
        found = (own < len(self.rows)) & (self.rows[np.minimum(own, len(self.rows) - 1)] == rows)
        return rows[found], take(self.pixels, self.own_rows[own[found]])


def load_predecessor(
    registry: Registry,
    champion: Target,
    corpus: Corpus,
    preprocess: Preprocess,
    reread: Reread,
    device: str,
    progress: Progress = SILENT,
) -> Predecessor:
    """Load the champion and show it the corpus; without decoder or reference if they are lost.

    Neither is needed to serve, so the loss may have gone unseen. All else can be compared without them.

    Args:
        registry: of the collection.
        champion: what is loaded.
        corpus: of the successor.
        preprocess: that it was decoded with.
        reread: decodes it anew; called only if the champion has another preprocess.
        device: where it computes.
        progress: told of the stage `compare`, in pictures.

    Raises:
        BundleInvalid: it may not serve.
    """
    bundle = registry.load(champion, device)
    own = corpus if bundle.manifest.preprocess == preprocess else reread(bundle.manifest.preprocess)
    progress.stage("compare", len(own))
    return view(
        bundle,
        _decoder(registry, bundle),
        _reference(registry, champion.version),
        corpus.names,
        own,
        progress,
    )


def _decoder(registry: Registry, bundle: Bundle) -> Decoder | None:
    version = bundle.manifest.version
    try:
        return load_decoder(bundle.manifest, registry.decoder(version))
    except BundleInvalid as error:
        log.warning("the champion's reconstructions are not compared", version=version, reason=str(error))
        return None


def _reference(registry: Registry, version: str) -> bytes | None:
    try:
        return registry.file(version, REFERENCE)
    except BundleInvalid as error:
        log.warning("what the champion learnt from is not known", version=version, reason=str(error))
        return None


def view(
    bundle: Bundle,
    decoder: Decoder | None,
    reference: bytes | None,
    names: Sequence[str],
    own: Corpus,
    progress: Progress = SILENT,
) -> Predecessor:
    """Show a loaded champion the corpus.

    Args:
        bundle: the champion.
        decoder: its other half, if it is there.
        reference: its `reference.safetensors`; without it no picture is far, and none is known to be learnt.
        names: (N,) of the corpus.
        own: the same pictures decoded for it; some may be missing.
        progress: told how many it has seen.
    """
    if own.names == names:  # the corpus itself, or all of it: a dictionary of names would cost 100 bytes each
        rows = own_rows = np.arange(len(names))
    else:
        place = {name: row for row, name in enumerate(own.names)}
        rows = np.array([row for row, name in enumerate(names) if name in place], np.intp)
        own_rows = np.array([place[name] for name in names if name in place], np.intp)
    nearest, score = np.full(len(names), -1, np.int64), np.full(len(names), np.inf)
    unknown = np.ones(len(names), bool)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        answer = bundle.predict(take(own.pixels, own_rows[start : start + BATCH]))
        nearest[part] = answer.nearest[:, 0]
        unknown[part] = answer.unknown
        score[part] = _relative(bundle, answer.nearest[:, 0], answer.distances[:, 0])
        progress.advance(start + len(part))
    seen, far_score = _remembered(bundle, reference)
    return Predecessor(
        bundle=bundle,
        decoder=decoder,
        pixels=own.pixels,
        rows=rows,
        own_rows=own_rows,
        labels=nearest,
        unknown=unknown,
        far=score > far_score,
        seen=np.isin(name_hashes(names), seen),
    )


def _remembered(bundle: Bundle, reference: bytes | None) -> tuple[NDArray[np.uint64], float]:
    """Give hashes of the names it learnt from, and the score beyond which a picture is far from them."""
    nothing = np.zeros(0, np.uint64)
    if reference is None:
        return nothing, np.inf
    arrays = safetensors.numpy.load(reference)
    usual = bundle.clusterer.assign(arrays["projections"])
    score = _relative(bundle, usual.indices, usual.distances)
    return arrays.get("seen", nothing), max(1.0, float(np.quantile(score, FAR_QUANTILE, method="higher")))


def _relative(
    bundle: Bundle, nearest: NDArray[np.int64], distances: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give distances (B,) in units of what 99 of 100 pictures of the cluster keep."""
    radii = bundle.clusterer.distance_quantiles[:, -2]
    least = max(LEAST_RADIUS * float(radii.mean()), 1e-6)
    return np.asarray(distances / np.maximum(radii, least)[nearest], np.float32)


def by_hash(names: Sequence[str], salt: str) -> NDArray[np.intp]:
    """Order rows by the hash of their names: a fixed shuffle, of which a longer list keeps the most."""
    return np.argsort(name_hashes(names, salt), kind="stable")
