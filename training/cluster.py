"""Embeddings to a Clusterer: unit length, PCA, KMeans, and the distances that are usual.

Shapes: N pictures, D embedding, P components, K clusters.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from model_store.clusterer import QUANTILES, Clusterer, unit_length
from producer.errors import TrainingFailed

MIN_PER_CLUSTER: Final = 5  # pictures, on average, for a cluster to mean anything


class ClusterSettings(BaseModel):
    """How embeddings are clustered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_clusters: int = Field(10, ge=1, le=4096, description="K")
    n_components: int = Field(32, ge=1, description="P; fewer where the pictures do not have as many")
    n_init: int = Field(10, ge=1, description="KMeans++ restarts; the best counts")
    false_alarm_rate: float = Field(0.01, gt=0, lt=0.5, description="share of known pictures called unknown")


def fit_clusterer(
    embeddings: NDArray[np.float32],
    held_out: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
) -> Clusterer:
    """Fit PCA and KMeans, then calibrate `unknown` on pictures that neither has seen.

    Args:
        embeddings: (N, D), finite, for fitting.
        held_out: (M, D), same distribution, for calibration only.
        settings: how many clusters and components.
        random_state: equal seeds give equal arrays.

    Raises:
        TrainingFailed: fewer than MIN_PER_CLUSTER pictures per cluster; says how many it takes.
    """
    if len(embeddings) < settings.n_clusters * MIN_PER_CLUSTER:
        raise TrainingFailed(
            f"{len(embeddings)} pictures are too few for {settings.n_clusters} clusters: it takes "
            f"{settings.n_clusters * MIN_PER_CLUSTER}, or a smaller n_clusters"
        )
    unit = unit_length(embeddings)
    pca = PCA(min(settings.n_components, *unit.shape), random_state=random_state).fit(unit)
    projections = np.ascontiguousarray(pca.transform(unit), np.float32)  # (N, P)
    kmeans = KMeans(settings.n_clusters, n_init=settings.n_init, random_state=random_state).fit(projections)
    draft = Clusterer(
        mean=pca.mean_.astype(np.float32),
        components=np.ascontiguousarray(pca.components_, np.float32),
        explained_variance=pca.explained_variance_.astype(np.float32),
        centroids=np.ascontiguousarray(kmeans.cluster_centers_, np.float32),
        counts=np.bincount(kmeans.labels_, minlength=settings.n_clusters),
        distance_quantiles=np.zeros((settings.n_clusters, len(QUANTILES)), np.float32),
        unknown_distance=np.zeros(settings.n_clusters, np.float32),
    )
    return _calibrated(draft, projections, draft.project(held_out), settings.false_alarm_rate)


def _calibrated(
    draft: Clusterer,
    projections: NDArray[np.float32],
    held_out: NDArray[np.float32],
    false_alarm_rate: float,
) -> Clusterer:
    """Measure distances per cluster, and put `unknown` where `false_alarm_rate` of the held-out lie beyond.

    One threshold is calibrated on distance in units of the cluster's own spread: a cluster of 20
    pictures has no 99th percentile of its own, all held-out pictures together have.
    """
    assignment = draft.assign(projections)
    everywhere = float(np.sqrt(np.mean(assignment.distances**2)))
    quantiles = np.empty_like(draft.distance_quantiles)
    spread = np.empty(len(draft.centroids), np.float32)
    for k in range(len(draft.centroids)):
        own = assignment.distances[assignment.indices == k]
        own = own if len(own) else assignment.distances
        quantiles[k] = np.quantile(own, QUANTILES)
        spread[k] = max(float(np.sqrt(np.mean(own**2))), 0.1 * everywhere, 1e-6)
    known = draft.assign(held_out)
    scores = known.distances / spread[known.indices]
    threshold = np.quantile(scores, 1 - false_alarm_rate, method="higher")
    return Clusterer(
        mean=draft.mean,
        components=draft.components,
        explained_variance=draft.explained_variance,
        centroids=draft.centroids,
        counts=draft.counts,
        distance_quantiles=quantiles,
        unknown_distance=(threshold * spread).astype(np.float32),
    )
