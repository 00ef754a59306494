"""Which score tells pictures of an absent kind: each kind of `photos` left out, the teacher's features.

    .venv/bin/python -m benchmarks.unknown_scores [--data ../shared/data] [--sides 32 96]

Nothing is trained. Known pictures are scored by PCA and KMeans of the other four fifths of them (5 folds).
The threshold is where 1, 2 or 5 % of them lie beyond, all folds together. Told is the share of the absent
kind's pictures beyond it (mean over kinds; least and most), and the mean area under the ROC curve.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.quality_methods import Methods
from benchmarks.quality_sets import LabelledSet, read_sets
from model_store.clusterer import unit_length
from training.cluster import fit_draft
from training.cluster_settings import ClusterSettings

FOLDS: Final = 5
ALARMS: Final = (0.01, 0.02, 0.05)
N_COMPONENTS: Final = (32, 64)
N_NEIGHBOURS: Final = 5

Floats = NDArray[np.float32]
Scores = dict[str, NDArray[np.floating]]


def scores(known: Floats, asked: Floats, n_clusters: int) -> Scores:
    """Score pictures (B, D) by what is known (N, D), in each of the ways; higher is stranger."""
    found: Scores = {}
    for p in N_COMPONENTS:
        clusterer = fit_draft(known, ClusterSettings(n_clusters=n_clusters, n_components=p), 0)
        projections = clusterer.project(asked)
        nearest = clusterer.assign(projections)
        residual = clusterer.residuals(asked, projections)
        own = clusterer.assign(clusterer.project(known))
        squares = np.bincount(own.indices, np.square(own.distances), n_clusters)
        spread = np.sqrt(squares / np.maximum(clusterer.counts, 1)) + np.float32(1e-6)
        relative = nearest.distances / spread[nearest.indices]
        found[f"distance to the centroid by the cluster's spread, P {p} (nearly bundles of format 1)"] = (
            relative
        )
        found[f"distance to the centroid, P {p}"] = nearest.distances
        found[f"what PCA leaves, P {p}"] = residual
        found[f"squared distance to the centroid, P {p}, plus what PCA leaves (what `unknown` uses)"] = (
            np.square(nearest.distances) + residual
        )
    neighbours = NearestNeighbors(n_neighbors=N_NEIGHBOURS).fit(unit_length(known))
    found["distance to the fifth neighbour, no PCA"] = neighbours.kneighbors(unit_length(asked))[0][:, -1]
    return found


def left_out(features: Floats, pictures: LabelledSet, kind: str) -> dict[str, list[float]]:
    """Leave one kind out: by score, shares flagged at ALARMS, and the area under the ROC curve."""
    is_absent = np.isin(np.arange(len(features)), pictures.of(kind))
    known, absent = features[~is_absent], features[is_absent]
    folds = np.random.default_rng(0).permutation(len(known)) % FOLDS
    usual: Scores = {}
    strange: Scores = {}
    for fold in range(FOLDS):
        asked = np.concatenate([known[folds == fold], absent])
        for name, values in scores(known[folds != fold], asked, len(pictures.kinds) - 1).items():
            n_known = len(values) - len(absent)
            usual[name] = np.concatenate([usual.get(name, values[:0]), values[:n_known]])
            strange[name] = np.concatenate([strange.get(name, values[:0]), values[n_known:]])
    answer = {}
    for name, inside in usual.items():
        outside = strange[name]
        limits = np.quantile(inside, [1 - alarms for alarms in ALARMS], method="higher")
        truth = np.repeat([0, 1], [len(inside), len(outside)])
        area = roc_auc_score(truth, np.concatenate([inside, outside]))
        answer[name] = [*(float((outside > limit).mean()) for limit in limits), float(area)]
    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 96], help="of the pictures, in pixels")
    asked = parser.parse_args()
    told = {}
    for side in asked.sides:
        with tempfile.TemporaryDirectory() as folder:
            for pictures in read_sets(["photos"], asked.data, None, side, Path(folder)):
                teacher = Methods(None, "auto")("teacher", pictures.pixels, pictures.train, pictures.train, 0)
                features = teacher.embed(pictures.pixels)
                found = [left_out(features, pictures, kind) for kind in pictures.kinds]
                columns = " | ".join(f"at {alarms:.0%} false alarms" for alarms in ALARMS)
                print(f"\n| {side} px | {columns} | area |\n" + "|---" * (2 + len(ALARMS)) + "|")
                for name in found[0]:
                    figures = np.array([one[name] for one in found])  # (kinds, alarms and area)
                    shares = [f"{v.mean():.0%} ({v.min():.0%} to {v.max():.0%})" for v in figures.T[:-1]]
                    print(f"| {name} | {' | '.join(shares)} | {figures[:, -1].mean():.3f} |", flush=True)
                    told[f"{name}, {side} px"] = figures.mean(axis=0).round(4).tolist()
    print(json.dumps({"benchmark": "unknown_scores", "flagged_at": ALARMS, "found": told}))


if __name__ == "__main__":
    main()
