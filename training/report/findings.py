"""What a report tells, in numbers: found on a bounded sample, so that its cost does not grow with the corpus.

```
at most map_pictures rows  -> projections    map (t-SNE), silhouettes, margins
all rows                   -> sizes, distances, the most typical, the outliers
```
Shapes: N pictures of the corpus, R of the sample, P components, K clusters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples
from threadpoolctl import threadpool_limits

from training.fit import embed
from training.predecessor import by_hash
from training.report.settings import ReportSettings
from training.report.subject import Subject
from training.room import take

PERPLEXITY: Final = 30.0
LEAST_MAPPED: Final = 10  # pictures; fewer have no neighbourhoods to draw

Rows = NDArray[np.intp]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """R pictures, looked at closely."""

    rows: Rows  # (R,) of the corpus, ascending
    clusters: NDArray[np.int64]  # (R,)
    margins: Floats  # (R,), distance to the second centroid less that to the own, over their sum; 1 if K is 1
    silhouettes: Floats | None  # (R,), in [-1, 1]; None of one cluster
    places: Floats | None  # (R, 2) on the map; None of too few


@dataclass(frozen=True, eq=False)
class Group:
    """One cluster. Rows are of the corpus, the most telling first, each in one line only."""

    number: int  # from 1, by size
    index: int  # of its centroid
    size: int  # of the N
    share: float
    silhouette: float | None  # mean over the sample; None where that holds too few of it
    typical: Rows  # nearest to the centre
    borderline: Rows  # nearly as near to another centre
    outliers: Rows  # farthest, in units of the distance from which on a picture is unknown
    relative: Floats  # (size,), distances in that unit, what the PCA leaves included

    @property
    def lines(self) -> dict[str, Rows]:
        """Give what its sheet shows, by what it is called."""
        return {"typical": self.typical, "borderline": self.borderline, "outliers": self.outliers}


@dataclass(frozen=True, eq=False)
class Findings:
    """All of it; `groups` by size, the largest first."""

    sample: Sample
    groups: tuple[Group, ...]
    relative: Floats  # (N,), strangeness: above 1 a picture is unknown

    def group_of(self, index: int) -> Group:
        """Give the cluster of a centroid."""
        return next(group for group in self.groups if group.index == index)


def find(subject: Subject, settings: ReportSettings) -> Findings:
    """Look at a model and its pictures; equal seeds find the same."""
    sample = _sample(subject, settings)
    distances, indices = subject.assignment.distances, subject.assignment.indices
    k = len(subject.clusterer.centroids)
    sizes = np.bincount(indices, minlength=k)
    by_cluster = np.split(np.argsort(indices, kind="stable"), np.cumsum(sizes)[:-1])
    borders = np.split(
        np.argsort(sample.clusters, kind="stable"), np.cumsum(np.bincount(sample.clusters, minlength=k))[:-1]
    )
    groups = []
    for number, index in enumerate(np.argsort(-sizes, kind="stable"), 1):
        members, seen = by_cluster[index], borders[index]
        near = members[np.argsort(distances[members], kind="stable")]
        far = members[np.argsort(-subject.strangeness[members], kind="stable")]
        bordering = sample.rows[seen[np.argsort(sample.margins[seen], kind="stable")]]
        typical, borderline, outliers = _no_picture_twice(near, bordering, far, settings.pictures_per_row)
        silhouette = None
        if sample.silhouettes is not None and len(seen) > 1:
            silhouette = float(sample.silhouettes[seen].mean())
        groups.append(
            Group(
                number=number,
                index=int(index),
                size=int(sizes[index]),
                share=float(sizes[index] / max(1, len(indices))),
                silhouette=silhouette,
                typical=typical,
                borderline=borderline,
                outliers=outliers,
                relative=subject.strangeness[members],
            )
        )
    return Findings(sample, tuple(groups), subject.strangeness)


def _no_picture_twice(near: Rows, bordering: Rows, far: Rows, n: int) -> tuple[Rows, Rows, Rows]:
    """Give the first `n` of each at most, a third of a small cluster; an outlier is not borderline too."""
    typical = near[: min(n, -(-len(near) // 3))]
    outliers = far[~np.isin(far, typical)][: min(n, -(-(len(far) - len(typical)) // 2))]
    return typical, bordering[~np.isin(bordering, [*typical, *outliers])][:n], outliers


def _sample(subject: Subject, settings: ReportSettings) -> Sample:
    names = subject.corpus.names
    rows = np.sort(by_hash(names, "report")[: settings.map_pictures])
    embeddings = embed(subject.encoder, take(subject.corpus.pixels, rows), device=subject.device)
    projections = subject.clusterer.project(embeddings)  # (R, P)
    clusters = subject.assignment.indices[rows]
    seed = subject.manifest.random_state
    with threadpool_limits(1):  # beside workers, and on arrays this small, threads only wait for each other
        silhouettes = None
        if 1 < len(np.unique(clusters)) < len(rows):
            silhouettes = np.asarray(silhouette_samples(projections, clusters), np.float32)
        margins = _margins(projections, subject.clusterer.centroids)
        places = _places(projections, settings.map_steps, seed)
    return Sample(rows, clusters, margins, silhouettes, places)


def _margins(projections: Floats, centroids: Floats) -> Floats:
    if len(centroids) < 2:
        return np.ones(len(projections), np.float32)
    squares = np.square(projections).sum(axis=1)[:, None] + np.square(centroids).sum(axis=1)
    distances = np.sqrt(np.maximum(squares - 2 * projections @ centroids.T, 0))  # (R, K)
    nearest = np.partition(distances, 1, axis=1)[:, :2]
    return np.asarray((nearest[:, 1] - nearest[:, 0]) / np.maximum(nearest.sum(axis=1), 1e-12), np.float32)


def _places(projections: Floats, steps: int, random_state: int) -> Floats | None:
    """Lay the sample out in two dimensions. Source: van der Maaten & Hinton (2008), Barnes-Hut (2014)."""
    if len(projections) < LEAST_MAPPED or not projections.std(axis=0).any():
        return None
    tsne = TSNE(
        perplexity=min(PERPLEXITY, (len(projections) - 1) / 3),
        init="pca" if projections.shape[1] > 1 else "random",
        max_iter=steps,
        angle=0.7,
        random_state=random_state,
    )
    return np.asarray(tsne.fit_transform(projections), np.float32)
