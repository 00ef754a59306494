"""How good clusters are: against labels, where somebody has them, and by themselves."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

SILHOUETTE_SAMPLE: Final = 2000  # pictures; the cost grows with the square


@dataclass(frozen=True, slots=True)
class Agreement:
    """Clusters against labels, each in [0, 1] but `ari`, which is 0 by chance and at most 1."""

    accuracy: float
    nmi: float
    ari: float
    n: int


def agreement(labels: NDArray[np.generic], clusters: NDArray[np.generic]) -> Agreement:
    """Compare clusters (N,) with labels (N,).

    Accuracy is that of the best one-to-one naming of clusters by labels (Hungarian method, Kuhn 1955);
    clusters left without a label count as wrong.
    """
    table = contingency_matrix(labels, clusters)  # (labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return Agreement(
        accuracy=float(table[rows, columns].sum() / len(labels)),
        nmi=float(normalized_mutual_info_score(labels, clusters)),
        ari=float(adjusted_rand_score(labels, clusters)),
        n=len(labels),
    )


def silhouette(projections: NDArray[np.float32], clusters: NDArray[np.int64], random_state: int) -> float:
    """Give the mean silhouette in [-1, 1] (Rousseeuw 1987) of a sample; 0 if there is only one cluster."""
    rng = np.random.default_rng(random_state)
    chosen = rng.permutation(len(projections))[:SILHOUETTE_SAMPLE]
    if not 1 < len(np.unique(clusters[chosen])) < len(chosen):
        return 0.0
    return float(silhouette_score(projections[chosen], clusters[chosen]))


def shares(clusters: NDArray[np.int64], n_clusters: int) -> NDArray[np.float64]:
    """Give each cluster's share (K,) of the pictures."""
    counts = np.bincount(clusters, minlength=n_clusters)
    return np.asarray(counts / max(1, counts.sum()), np.float64)
