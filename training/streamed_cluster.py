"""PCA and KMeans of more pictures than are held in memory at once.

```
a sample of `in_memory` pictures -> cluster.fit_draft: exact PCA, restarts, the champion's clusters
all of them, part by part        -> IncrementalPCA with all its components: the same PCA but for rounding
all of them, in random order     -> MiniBatchKMeans from the sample's centroids, carried into that space
all of them, part by part        -> counts, distances; `unknown` from held-out pictures, as for few
```
Memory is set by `in_memory`; 12 bytes a picture come on top.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA

from model_store.clusterer import Assignment, Clusterer, unit_length
from training.cluster import calibrated, fit_clusterer, fit_draft, usual_radii
from training.cluster_settings import ClusterSettings
from training.room import is_mapped, parts, release, room, take

PART: Final = 8192  # rows in memory at once
PASSES: Final = 3  # over all pictures; further ones moved no centroid by more than the noise of a part
LEAST_PER_CLUSTER: Final = 64  # rows of one step, on average: of fewer a mean says little

Floats = NDArray[np.float32]


def fit_streamed(
    embeddings: Floats,
    rows: NDArray[np.intp],
    held_out: NDArray[np.intp],
    settings: ClusterSettings,
    random_state: int,
    champion_labels: NDArray[np.int64] | None = None,
    *,
    folder: Path | None = None,
) -> Clusterer:
    """Fit what `cluster.fit_clusterer` fits, where the embeddings are too many for it.

    Args:
        embeddings: (N, D), finite; may be mapped.
        rows: for fitting.
        held_out: for calibration only; of more than `settings.in_memory` that many are used.
        settings: as for few pictures.
        random_state: equal seeds give equal arrays.
        champion_labels: (N,), the cluster that the champion gives each picture, -1 for none.
        folder: for scratch files.
    """
    rng = np.random.default_rng(random_state)
    sample = np.sort(rng.permutation(rows)[: settings.in_memory])
    unseen = take(embeddings, np.sort(rng.permutation(held_out)[: settings.in_memory]))
    labels = None if champion_labels is None else champion_labels[sample]
    sampled = take(embeddings, sample)
    draft = fit_draft(sampled, settings, random_state, labels)
    basis = _basis(draft, embeddings, rows)
    projections = room((len(rows), len(basis.components)), np.float32, folder)
    for start in range(0, len(rows), PART):
        projections[start : start + PART] = basis.project(take(embeddings, rows[start : start + PART]))
        release(projections)
    fitted = _refined(basis, projections, random_state)
    usual = usual_radii(fitted, sampled, unseen, settings, random_state)
    return calibrated(fitted, assign_parts(fitted, projections), usual, settings.false_alarm_rate)


def fit_any(
    embeddings: Floats,
    rows: NDArray[np.intp],
    held_out: NDArray[np.intp],
    settings: ClusterSettings,
    random_state: int,
    champion_labels: NDArray[np.int64] | None = None,
    *,
    folder: Path | None = None,
) -> Clusterer:
    """Fit at once what `settings.in_memory` allows to, else as `fit_streamed`, whose arguments these are."""
    dim = embeddings.shape[1]
    if len(rows) > max(settings.in_memory, 2 * dim):  # the incremental PCA begins with at least D rows
        return fit_streamed(
            embeddings, rows, held_out, settings, random_state, champion_labels, folder=folder
        )
    labels = None if champion_labels is None else champion_labels[rows]
    return fit_clusterer(take(embeddings, rows), take(embeddings, held_out), settings, random_state, labels)


def project_parts(clusterer: Clusterer, embeddings: Floats, folder: Path | None) -> Floats:
    """Take embeddings (N, D) to projections (N, P); at once if they are in memory, else part by part."""
    if not is_mapped(embeddings):
        return clusterer.project(embeddings)
    projections = room((len(embeddings), len(clusterer.components)), np.float32, folder)
    for start, part in parts(embeddings, PART):
        projections[start : start + len(part)] = clusterer.project(part)
        release(projections)
    return projections


def assign_parts(clusterer: Clusterer, projections: Floats) -> Assignment:
    """Give each projection (N, P) its nearest centroid; the answer, 12 bytes a picture, is in memory."""
    if not is_mapped(projections):
        return clusterer.assign(projections)
    indices, distances = np.empty(len(projections), np.int64), np.empty(len(projections), np.float32)
    for start, part in parts(projections, PART):
        found = clusterer.assign(part)
        indices[start : start + len(part)] = found.indices
        distances[start : start + len(part)] = found.distances
    return Assignment(indices, distances)


def strangeness_parts(
    clusterer: Clusterer, embeddings: Floats, projections: Floats, assignment: Assignment
) -> Floats:
    """Give embeddings (N, D) their strangeness, (N,) in memory, by their projections (N, P)."""
    strange = np.empty(len(embeddings), np.float32)
    for start, part in parts(embeddings, PART):
        rows = slice(start, start + len(part))
        own = Assignment(assignment.indices[rows], assignment.distances[rows])
        strange[rows] = clusterer.strangeness(own, clusterer.residuals(part, projections[rows]))
        release(projections)
    return strange


def _basis(draft: Clusterer, embeddings: Floats, rows: NDArray[np.intp]) -> Clusterer:
    """Exchange the draft's PCA for that of all rows, and carry its centroids over."""
    dim, n_components = embeddings.shape[1], len(draft.components)
    pca = IncrementalPCA(dim)  # all of them: one that drops some at each part drifts from the exact one
    for start in range(0, len(rows), max(PART, 2 * dim)):
        part = rows[start : start + max(PART, 2 * dim)]
        pca.partial_fit(unit_length(take(embeddings, part)).astype(np.float64))
    mean, components = pca.mean_, pca.components_[:n_components]
    centres = draft.centroids @ draft.components + draft.mean  # (K, D)
    return replace(
        draft,
        mean=mean.astype(np.float32),
        components=np.ascontiguousarray(components, np.float32),
        explained_variance=pca.explained_variance_[:n_components].astype(np.float32),
        centroids=np.ascontiguousarray((centres - mean) @ components.T, np.float32),
    )


def _refined(basis: Clusterer, projections: Floats, random_state: int) -> Clusterer:
    """Move the centroids by all projections (N, P), in random order: a folder is often sorted by kind."""
    k, rng = len(basis.centroids), np.random.default_rng(random_state)
    size = max(PART, LEAST_PER_CLUSTER * k)
    kmeans = MiniBatchKMeans(
        k, init=basis.centroids, n_init=1, batch_size=size, reassignment_ratio=0, random_state=random_state
    )
    for _ in range(PASSES):
        order = rng.permutation(len(projections))
        for start in range(0, len(order), size):
            kmeans.partial_fit(take(projections, np.sort(order[start : start + size])))
    centroids = np.ascontiguousarray(kmeans.cluster_centers_, np.float32)
    moved = replace(basis, centroids=centroids)
    counts = np.bincount(assign_parts(moved, projections).indices, minlength=k)
    return replace(moved, counts=counts)
