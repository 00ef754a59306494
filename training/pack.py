"""A fitted model into a bundle's files."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from model_store import bundle, bundle_files
from model_store.autoencoder import Decoder, Encoder
from model_store.bundle_files import ClusterEntry, ClusterFile
from model_store.clusterer import Assignment, Clusterer
from model_store.exemplars import exemplars_to_bytes
from model_store.membership import name_hashes
from model_store.predictor import Predictor
from training.evaluate import shares
from training.identity import Matched

N_PROBE: Final = 16
N_EXEMPLARS: Final = 8
N_REFERENCE: Final = 1000  # projections kept for drift


def pack(
    *,
    encoder: Encoder,
    decoder: Decoder,
    clusterer: Clusterer,
    predictor: Predictor,
    pixels: NDArray[np.uint8],
    projections: NDArray[np.float32],
    clusters: ClusterFile,
    names: Sequence[str] = (),
    held_out: NDArray[np.intp] | None = None,
) -> dict[str, bytes]:
    """Write every file but the manifest and the model card.

    Args:
        encoder: as trained.
        decoder: as trained.
        clusterer: as fitted and calibrated.
        predictor: the two together, on their device.
        pixels: (N, S, S, 3), the corpus; a few rows become the probe.
        projections: (N, P) of the corpus; some become the reference for drift.
        clusters: the names of the centroids.
        names: (N,) of the corpus; their hashes are kept, so that a successor knows what both have seen.
        held_out: rows that the model was not fitted on: what it leaves of those is usual for new pictures.
    """
    n = len(pixels)
    probe_rows = np.unique(np.linspace(0, n - 1, min(n, N_PROBE)).astype(int))
    reference_rows = np.unique(np.linspace(0, n - 1, min(n, N_REFERENCE)).astype(int))
    nearest = clusterer.assign(projections).indices
    unseen = predictor(pixels[_new_to_it(n, held_out)])
    reference = {
        "shares": shares(nearest, len(clusterer.centroids)).astype(np.float32),
        "projections": np.ascontiguousarray(projections[reference_rows]),
        "seen": np.sort(name_hashes(names)),
        "residuals": np.ascontiguousarray(unseen.residuals),
        "unknown": unseen.unknown.astype(np.uint8),
        "n_images": np.array([n], np.int64),
    }
    return {
        bundle_files.ENCODER: bundle.weights_to_bytes(encoder),
        bundle_files.DECODER: bundle.weights_to_bytes(decoder),
        bundle_files.CLUSTERS: clusters.to_bytes(),
        bundle_files.EXEMPLARS: exemplars_to_bytes(clusters.clusters),
        bundle_files.REFERENCE: safetensors.numpy.save(reference),
        bundle_files.PROBE: bundle.probe_to_bytes(predictor, np.ascontiguousarray(pixels[probe_rows])),
        **clusterer.to_files(),
    }


def _new_to_it(n: int, held_out: NDArray[np.intp] | None) -> NDArray[np.intp]:
    rows = np.arange(n) if held_out is None else held_out
    chosen: NDArray[np.intp] = rows[
        np.unique(np.linspace(0, len(rows) - 1, min(len(rows), N_REFERENCE)).astype(int))
    ]
    return chosen


def name_clusters(matched: Matched, assignment: Assignment, names: Sequence[str]) -> ClusterFile:
    """Give each centroid its id, its lineage and its exemplars: the names of the pictures nearest to it."""
    entries = []
    for index, identity in enumerate(matched.identities):
        members = np.flatnonzero(assignment.indices == index)
        nearest = members[assignment.distances[members].argsort()[:N_EXEMPLARS]]
        entries.append(
            ClusterEntry(
                index=index,
                id=identity.id,
                lineage=identity.lineage,
                parents=identity.parents,
                exemplars=tuple(names[i] for i in nearest),
            )
        )
    return ClusterFile(clusters=tuple(entries), events=matched.events, retired=matched.retired)
