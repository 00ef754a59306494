"""How many clusters, where nobody says: K by stability under resampling and by silhouette.

```
at most 2,000 embeddings -> unit length, PCA               once
each K of the range      -> KMeans on all                  silhouette
                         -> KMeans on pairs of halves      do they agree on all? adjusted Rand index
score = silhouette + stability / 2; of those near the best the smallest, and the champion's K unless
it is clearly beaten
```
The cost is bounded by the sample and by MOST_TRIED, whatever the corpus and the range.
Sources: Rousseeuw (1987) for the silhouette; Ben-Hur et al. (2002) and von Luxburg (2010) for stability.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, pairwise_distances, silhouette_score
from threadpoolctl import threadpool_limits

from model_store.clusterer import unit_length
from model_store.counted import counted
from training.cluster import MIN_PER_CLUSTER
from training.cluster_settings import ClusterSettings
from training.room import take

SAMPLE: Final = 2000  # pictures; the cost of the silhouette grows with the square
MOST_TRIED: Final = 24  # numbers of clusters; a wider range is tried in growing steps
PAIRS: Final = 4  # of halves, per number of clusters
RESTARTS: Final = 3
STABILITY_WEIGHT: Final = 0.5
AS_GOOD: Final = 0.02  # of a score: what another draw of the halves changes


class Tried(BaseModel):
    """One K: stability in [-1, 1] (1: every half gives the same clusters), silhouette in [-1, 1]."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n_clusters: int
    stability: float
    silhouette: float

    @property
    def score(self) -> float:
        """What is compared."""
        return self.silhouette + STABILITY_WEIGHT * self.stability


class Choice(BaseModel):
    """The K that was chosen, why, and what it was chosen among, ascending."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n_clusters: int
    reason: str
    curve: tuple[Tried, ...]
    n_sample: int

    @property
    def told(self) -> str:
        """Say all but the curve."""
        least, most = self.curve[0].n_clusters, self.curve[-1].n_clusters
        return (
            f"{counted(self.n_clusters, 'cluster')}, chosen among {least} to {most} on "
            f"{counted(self.n_sample, 'picture')}: {self.reason}"
        )


def settled(
    embeddings: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
    champion_n_clusters: int | None = None,
    *,
    rows: NDArray[np.intp] | None = None,
) -> tuple[ClusterSettings, Choice | None]:
    """Give settings with a number in place of `auto`, and how it was found; others come back as they are.

    Args:
        embeddings: (N, D), finite; may be mapped: no more than the sample is read.
        settings: as given.
        random_state: equal seeds give equal choices.
        champion_n_clusters: what the champion has, where there is one.
        rows: of the embeddings, to choose by; default: all.
    """
    if settings.n_clusters != "auto":
        return settings, None
    choice = choose(embeddings, settings, random_state, champion_n_clusters, rows=rows)
    return settings.model_copy(update={"n_clusters": choice.n_clusters}), choice


def choose(
    embeddings: NDArray[np.float32],
    settings: ClusterSettings,
    random_state: int,
    champion_n_clusters: int | None = None,
    *,
    rows: NDArray[np.intp] | None = None,
) -> Choice:
    """Try the range on a sample; arguments as of `settled`."""
    rng = np.random.default_rng(random_state)
    rows = np.arange(len(embeddings)) if rows is None else rows
    sample = np.sort(rng.permutation(len(rows))[:SAMPLE])
    unit = unit_length(take(embeddings, rows[sample]))
    pca = PCA(min(settings.n_components, *unit.shape), random_state=random_state)
    points = np.ascontiguousarray(pca.fit_transform(unit), np.float32)  # (R, P)
    least, most = settings.n_clusters_range
    numbers = _numbers(least, min(most, len(points) // (2 * MIN_PER_CLUSTER)))
    if champion_n_clusters is not None and least <= champion_n_clusters <= most:
        numbers = sorted({*numbers, champion_n_clusters})
    halves = [np.array_split(rng.permutation(len(points)), 2) for _ in range(PAIRS)]
    with threadpool_limits(1):  # on arrays this small threads wait for each other
        distances = pairwise_distances(points)
        curve = tuple(_try(k, points, distances, halves, random_state) for k in numbers)
    found, reason = decide(curve, champion_n_clusters, settings.auto_margin)
    return Choice(n_clusters=found, reason=reason, curve=curve, n_sample=len(points))


def decide(curve: Iterable[Tried], champion_n_clusters: int | None, margin: float) -> tuple[int, str]:
    """Take the smallest K within AS_GOOD of the best score; the champion's unless beaten by `margin`."""
    by_number = {tried.n_clusters: tried for tried in curve}
    highest = max(tried.score for tried in by_number.values())
    near = (tried for tried in by_number.values() if tried.score >= highest - AS_GOOD)
    best = min(near, key=lambda tried: tried.n_clusters)
    kept = by_number.get(champion_n_clusters) if champion_n_clusters is not None else None
    if kept is not None and kept is not best and best.score - kept.score <= margin:
        return kept.n_clusters, (
            f"the champion's {kept.n_clusters} are kept: they score {kept.score:.3f}, {best.n_clusters} "
            f"score {best.score:.3f}, and to change it takes {margin:g} more"
        )
    others = sorted(by_number.values(), key=lambda tried: -tried.score)
    second = next((tried for tried in others if tried is not best), None)
    return best.n_clusters, (
        f"{best.n_clusters} is the smallest number whose score, {best.score:.3f}, is within {AS_GOOD:g} of "
        f"the best, {highest:.3f}"
        + (f"; next is {second.n_clusters} with {second.score:.3f}" if second else "")
    )


def _numbers(least: int, most: int) -> list[int]:
    """Give the numbers to try, ascending: all, or MOST_TRIED in growing steps; at least one."""
    most = max(least, most)
    if most - least < MOST_TRIED:
        return list(range(least, most + 1))
    return sorted({round(k) for k in np.geomspace(least, most, MOST_TRIED)})


def _try(
    n_clusters: int,
    points: NDArray[np.float32],
    distances: NDArray[np.float32],
    halves: list[list[NDArray[np.intp]]],
    random_state: int,
) -> Tried:
    def fitted(rows: NDArray[np.intp]) -> NDArray[np.int64]:
        kmeans = KMeans(n_clusters, n_init=RESTARTS, random_state=random_state).fit(points[rows])
        return np.asarray(kmeans.predict(points), np.int64)

    labels = fitted(np.arange(len(points)))
    several = 1 < len(np.unique(labels)) < len(points)
    silhouette = silhouette_score(distances, labels, metric="precomputed") if several else 0.0
    agreed = [adjusted_rand_score(fitted(one), fitted(other)) for one, other in halves]
    return Tried(n_clusters=n_clusters, stability=float(np.mean(agreed)), silhouette=float(silhouette))
