"""Which pictures of a corpus a model is fitted on, and which are held out to judge it by."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.counted import counted
from producer.errors import TrainingFailed
from training.cluster import MIN_PER_CLUSTER
from training.predecessor import by_hash

MIN_IMAGES: Final = 20
MAX_JUDGED: Final = 8192  # pictures whose pixels are in memory at once while models are judged,
MAX_JUDGED_BYTES: Final = 2**27  # and of large ones no more than 128 MiB


class Split(NamedTuple):
    """Rows of a corpus, each ascending."""

    rows: NDArray[np.intp]
    held_out: NDArray[np.intp]
    judged: NDArray[np.intp]  # of those held out; the quality of more is no better known


def divide(names: Sequence[str], n_clusters: int, share: float, side: int = 32) -> Split:
    """Divide the rows, to fit and held out, by a hash of their names.

    A picture that is held out from one model is held out from its successors, but for a few at the edge:
    so both can be judged on pictures that neither has learned from.

    Args:
        names: (N,) of the corpus.
        n_clusters: K, or the least that it may be.
        share: of the pictures, to hold out.
        side: of the pictures, in pixels.

    Raises:
        TrainingFailed: there are too few for so many clusters; says how many it takes.
    """
    n = len(names)
    least = max(MIN_IMAGES, math.ceil(n_clusters * MIN_PER_CLUSTER / (1 - share)) + 1)
    if n < least:
        raise TrainingFailed(
            f"{counted(n, 'picture')}, too few for {n_clusters} clusters: it takes {least}, or fewer "
            "clusters (--n-clusters)"
        )
    order = by_hash(names, "held out")
    n_held_out = max(4, round(n * share))
    held_out = order[:n_held_out]
    n_judged = min(MAX_JUDGED, MAX_JUDGED_BYTES // (3 * side * side))
    return Split(np.sort(order[n_held_out:]), np.sort(held_out), np.sort(held_out[:n_judged]))
