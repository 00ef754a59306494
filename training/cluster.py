"""Embeddings to a Clusterer: unit length, PCA, KMeans, and the distances that are usual.

Continuity first: KMeans also starts from the champion's clusters, carried into the new space, and what comes
of that is kept unless another start ends better by more than a margin.
Shapes: N pictures, D embedding, P components, K clusters.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.bundle_files import PROBE_TOLERANCE
from model_store.clusterer import QUANTILES, Assignment, Clusterer, unit_length
from model_store.counted import counted
from producer.errors import TrainingFailed
from training.cluster_settings import ClusterSettings

MIN_PER_CLUSTER: Final = 5  # pictures, on average, for a cluster to mean anything
LEAST_BEYOND: Final = 10  # held-out pictures beyond the `unknown` distance, for that to be known from them
FOLDS: Final = 5


def fit_clusterer(
    embeddings: NDArray[np.float32],
    held_out: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
    champion_labels: NDArray[np.int64] | None = None,
) -> Clusterer:
    """Fit PCA and KMeans, then calibrate `unknown` on pictures that neither has seen.

    Args:
        embeddings: (N, D), finite, for fitting.
        held_out: (M, D), same distribution, for calibration only.
        settings: how many clusters and components.
        random_state: equal seeds give equal arrays.
        champion_labels: (N,), the cluster that the champion gives each of `embeddings`, -1 for none.

    Raises:
        TrainingFailed: fewer than MIN_PER_CLUSTER pictures per cluster; says how many it takes.
        ValueError: n_clusters is `auto`: `choice_of_k.settled` comes before.
    """
    draft = fit_draft(embeddings, settings, random_state, champion_labels)
    own, usual = draft.project(embeddings), usual_radii(draft, embeddings, held_out, settings, random_state)
    return calibrated(draft, draft.assign(own), usual, settings.false_alarm_rate)


def fit_draft(
    embeddings: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
    champion_labels: NDArray[np.int64] | None = None,
) -> Clusterer:
    """Fit PCA and KMeans, and calibrate nothing: arguments and errors are those of `fit_clusterer`."""
    n_clusters = settings.n_clusters
    if n_clusters == "auto":
        raise ValueError("n_clusters is still `auto`")
    if len(embeddings) < n_clusters * MIN_PER_CLUSTER:
        raise TrainingFailed(
            f"{counted(len(embeddings), 'picture')}, too few for {counted(n_clusters, 'cluster')}: it takes "
            f"{n_clusters * MIN_PER_CLUSTER}, or a smaller n_clusters"
        )
    return _fitted(embeddings, n_clusters, settings, random_state, champion_labels)


def _fitted(
    embeddings: NDArray[np.float32],
    n_clusters: int,
    settings: ClusterSettings,
    random_state: int,
    champion_labels: NDArray[np.int64] | None = None,
) -> Clusterer:
    # scikit-learn takes a second and more to import, and all who read settings import this module
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from sklearn.decomposition import PCA  # noqa: PLC0415

    unit = unit_length(embeddings)
    pca = PCA(min(settings.n_components, *unit.shape), random_state=random_state).fit(unit)
    projections = np.ascontiguousarray(pca.transform(unit), np.float32)  # (N, P)
    kmeans = KMeans(n_clusters, n_init=settings.n_init, random_state=random_state).fit(projections)
    if champion_labels is not None and champion_labels.max() >= 0:
        start = carried_over(projections, champion_labels, n_clusters, random_state)
        if len(start) == n_clusters:
            continued = KMeans(n_clusters, init=start, n_init=1).fit(projections)
            if kmeans.inertia_ >= continued.inertia_ * (1 - settings.continuity_margin):
                kmeans = continued
    return Clusterer(
        mean=pca.mean_.astype(np.float32),
        components=np.ascontiguousarray(pca.components_, np.float32),
        explained_variance=pca.explained_variance_.astype(np.float32),
        centroids=np.ascontiguousarray(kmeans.cluster_centers_, np.float32),
        counts=np.bincount(kmeans.labels_, minlength=n_clusters),
        distance_quantiles=np.zeros((n_clusters, len(QUANTILES)), np.float32),
        unknown_distance=np.zeros(n_clusters, np.float32),
    )


def carried_over(
    projections: NDArray[np.float32], labels: NDArray[np.int64], n_clusters: int, random_state: int
) -> NDArray[np.float32]:
    """Give the means of the champion's clusters in the new space, made `n_clusters` of them.

    Too many: those whose union costs least inertia become one (Ward 1963). Too few: the cluster with the most
    inertia is halved.

    Args:
        projections: (N, P).
        labels: (N,), -1 for none; at least one picture has a label.
        n_clusters: K.
        random_state: of the halving.

    Returns:
        (K, P), in the order of the labels as far as nothing was joined or is empty; fewer if there are not as
        many different pictures.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as above

    groups = [projections[labels == label] for label in np.unique(labels[labels >= 0])]
    while len(groups) > n_clusters:
        sizes = np.array([len(group) for group in groups], np.float64)
        means = np.stack([group.mean(axis=0) for group in groups])
        squares = np.square(means[:, None] - means[None]).sum(axis=2)
        cost = squares * np.outer(sizes, sizes) / np.add.outer(sizes, sizes)
        cost[np.tril_indices(len(groups))] = np.inf
        first, second = np.unravel_index(cost.argmin(), cost.shape)
        groups[first] = np.concatenate([groups[first], groups.pop(int(second))])
    while len(groups) < n_clusters:
        inertias = [float(np.square(group - group.mean(axis=0)).sum()) for group in groups]
        if max(inertias) <= 0:  # all that are left are copies of each other
            break
        widest = groups.pop(int(np.argmax(inertias)))
        halves = KMeans(2, n_init=1, random_state=random_state).fit(widest).labels_
        groups += [widest[halves == 0], widest[halves == 1]]
    return np.stack([group.mean(axis=0) for group in groups]).astype(np.float32)


def radii(clusterer: Clusterer, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give distances (B,) of embeddings (B, D) from the nearest centroid, in their own space."""
    projections = clusterer.project(embeddings)
    left = clusterer.residuals(embeddings, projections)
    return np.asarray(np.sqrt(np.square(clusterer.assign(projections).distances) + left), np.float32)


def usual_radii(
    clusterer: Clusterer,
    embeddings: NDArray[np.float32],
    held_out: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
) -> NDArray[np.float32]:
    """Give radii as new pictures have them: those of `held_out`, if these are enough.

    If not, they say only how much farther out new pictures lie in the mean, if they do; how radii spread is
    that of the pictures that were learnt from, each seen by a PCA and KMeans of the others.

    Args:
        clusterer: with its centroids.
        embeddings: (N, D) that it was fitted on, or a sample of them.
        held_out: (M, D) that it was not fitted on.
        settings: that it was fitted by.
        random_state: of the division.
    """
    usual = radii(clusterer, held_out)
    if len(usual) * settings.false_alarm_rate < LEAST_BEYOND:
        crossed = _crossed_radii(embeddings, len(clusterer.centroids), settings, random_state)
        usual = crossed + max(np.float32(0), usual.mean() - crossed.mean())
    return usual


def calibrated(
    draft: Clusterer, assignment: Assignment, usual: NDArray[np.float32], false_alarm_rate: float
) -> Clusterer:
    """Measure distances per cluster, and put `unknown` where `false_alarm_rate` of known pictures lie beyond.

    One distance for all clusters, in the whole space: in units of a cluster's own spread, a picture of
    another kind looks usual in whichever cluster is wide (docs/decisions/0010).

    Args:
        draft: with its centroids.
        assignment: of the pictures that it was fitted on.
        usual: `usual_radii` of it.
        false_alarm_rate: share of those that are to be unknown.
    """
    quantiles = np.empty_like(draft.distance_quantiles)
    for index in range(len(quantiles)):
        own = assignment.distances[assignment.indices == index]
        quantiles[index] = np.quantile(own if len(own) else assignment.distances, QUANTILES)
    # more, by what devices and batches may differ: copies of one picture may lie just there
    threshold = float(np.quantile(usual, 1 - false_alarm_rate, method="higher")) + PROBE_TOLERANCE
    return replace(
        draft,
        distance_quantiles=quantiles,
        unknown_distance=np.full(len(quantiles), threshold, np.float32),
        residual_weight=np.ones((), np.float32),
    )


def _crossed_radii(
    embeddings: NDArray[np.float32], n_clusters: int, settings: ClusterSettings, random_state: int
) -> NDArray[np.float32]:
    """Give `radii` (N,) of embeddings (N, D), each by a PCA and KMeans fitted without it."""
    fold = np.random.default_rng(random_state).permutation(len(embeddings)) % FOLDS
    quick = settings.model_copy(update={"n_init": 1})
    found = np.empty(len(embeddings), np.float32)
    for each in range(FOLDS):
        own = fold == each
        found[own] = radii(_fitted(embeddings[~own], n_clusters, quick, random_state), embeddings[own])
    return found
