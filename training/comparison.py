"""A candidate beside the champion, on the same pictures: those that the champion knew, if there are enough.

New pictures may be a flood: of noise, or of one picture in a thousand forms. A model that learnt from it
looks well on it, and worse on what was there before. So of the held-out pictures those count that were in the
champion's own corpus; held out by a hash of their names, they were mostly held out from it too.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.predictor import Predictor, best_device
from training.corpus import Corpus
from training.floor import floor_under
from training.labels import Labels
from training.latency import relative_latency
from training.predecessor import Predecessor
from training.promotion import Comparison
from training.quality import judge
from training.room import take
from training.train_settings import TrainSettings
from training.trained import Trained

LEAST_JUDGED: Final = 20
LEAST_PER_CLUSTER: Final = 2


def compare(
    trained: Trained, predecessor: Predecessor, corpus: Corpus, settings: TrainSettings
) -> Comparison | None:
    """Judge the champion on the candidate's judged pictures; None if it can see none of them.

    Args:
        trained: the candidate.
        predecessor: the champion, with its view of the corpus.
        corpus: what the candidate was trained on.
        settings: of the candidate's run.
    """
    rows, pixels = predecessor.shown(trained.judged)
    if not len(rows):
        return None
    old = _known_before(predecessor, rows)
    quality = judge(
        predecessor.bundle.predictor,
        predecessor.decoder,
        predecessor.bundle.clusterer,
        pixels[old],
        settings.fit.random_state,
        side=min(settings.preprocess.input_size, predecessor.side),
        accuracy=Labels.read(settings.labels_file).accuracy(corpus.names, predecessor.labels),
    )
    candidate = Predictor(trained.fitted.encoder, trained.clusterer, best_device(settings.fit.device))
    judged = judge(
        candidate,
        trained.fitted.decoder,
        trained.clusterer,
        take(corpus.pixels, rows[old]),
        settings.fit.random_state,
        side=min(settings.preprocess.input_size, predecessor.side),
        accuracy=trained.quality.accuracy,
    )
    anchors = predecessor.anchors(corpus.names, settings.identity.anchors)
    same_kind = predecessor.is_of(settings.fit)
    return Comparison(
        champion=quality,
        candidate=judged,
        moved=trained.moved,
        unknown=float(predecessor.unknown[rows].mean()),
        latency=relative_latency(candidate, predecessor.bundle.predictor, take(corpus.pixels, rows), pixels),
        merged=merged_share(predecessor.labels[anchors], trained.assignment.indices[anchors]),
        floor=floor_under(predecessor.bundle.manifest, same_kind=same_kind),
        same_kind=same_kind,
    )


def merged_share(before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
    """Tell how many pictures are no longer told apart from those of a larger cluster.

    Args:
        before: (A,), clusters that the champion gave.
        after: (A,), those that the candidate gives the same pictures.

    Returns:
        The share of pictures of clusters that went, by more than half, where a larger one went.
    """
    if not len(before):
        return 0.0
    table = np.zeros((int(before.max()) + 1, int(after.max()) + 1), np.int64)
    np.add.at(table, (before, after), 1)
    sizes, into = table.sum(axis=1), table.argmax(axis=1)
    whole = table.max(axis=1) * 2 > sizes
    merged = 0
    for target in np.unique(into[whole]):
        together = sizes[whole & (into == target)]
        merged += int(together.sum() - together.max())
    return merged / len(before)


def _known_before(predecessor: Predecessor, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose of the held-out rows those to judge by: positions in `rows`."""
    known = np.flatnonzero(predecessor.seen[rows])
    enough = len(known) >= max(LEAST_JUDGED, LEAST_PER_CLUSTER * len(predecessor.ids))
    return known if enough else np.arange(len(rows))
