"""The clusters of a candidate, named by what the champion calls the same pictures."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from training.identity import IdentitySettings, Matched, match, overlap, unrelated
from training.predecessor import Predecessor


def identify(
    predecessor: Predecessor | None,
    names: Sequence[str],
    labels: NDArray[np.int64],
    counts: NDArray[np.int64],
    settings: IdentitySettings,
    taken: Collection[str] = (),
) -> tuple[Matched, float]:
    """Give the candidate's clusters their ids.

    Args:
        predecessor: the champion's view of the corpus, if there is a champion.
        names: (N,) of the corpus.
        labels: (N,), the candidate's clusters.
        counts: (J,), of the pictures that its clusters were fitted on.
        settings: when a cluster is the same.
        taken: further ids that are never given again.

    Returns:
        Ids and lineage; and the share of the anchors whose id changes, 0 if nothing could be compared.
    """
    if predecessor is None:
        return unrelated(len(counts), taken), 0.0
    all_taken = {*taken, *predecessor.taken}
    anchors = predecessor.anchors(names, settings.anchors)
    if not len(anchors):
        return unrelated(len(counts), all_taken), 0.0
    before, after = predecessor.labels[anchors], labels[anchors]
    known = np.where(predecessor.unknown[anchors], -1, before)
    earlier = predecessor.bundle.clusterer.counts
    matched = match(
        overlap(known, after, (len(earlier), len(counts))),
        predecessor.ids,
        earlier / max(1, earlier.sum()),
        counts / max(1, counts.sum()),
        settings,
        all_taken,
    )
    ids_before = np.array(predecessor.ids)[before]
    ids_after = np.array([identity.id for identity in matched.identities])[after]
    return matched, float((ids_before != ids_after).mean())
