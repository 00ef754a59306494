"""One cell of `quality.py`: a set, a method, a seed; and the file that keeps the figures of those done.

Every cell trains, then clusters twice with training's own PCA and KMeans:
```
refit     fitted on the scored pictures themselves -> accuracy, nmi, ari
placed    fitted on what was trained on; the new pictures only placed -> loss against refit, false alarms
absent    a cell of its own: trained without a kind; how many pictures of that kind are called unknown
```
"""

import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.notebook_pipeline import notebook_clusters
from benchmarks.quality_methods import Methods
from benchmarks.quality_sets import LabelledSet
from model_store.clusterer import Clusterer
from training.cluster_settings import ClusterSettings
from training.evaluate import agreement
from training.split import divide
from training.streamed_cluster import fit_any
from training.train_settings import TrainSettings

Figures = dict[str, Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured, and how much of it: cells of other `steps`, `limit` or `side` are others.

    None stands for all steps, all pictures, and the side of the default settings.
    """

    set: str
    method: str
    seed: int
    absent: str | None = None
    steps: int | None = None
    limit: int | None = None
    side: int | None = None


class CellsFile:
    """Figures by cell, a JSON line each, in a file that outlives a killed run; without one in memory."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there; a line that was cut short is removed."""
        self._path = path
        self.done: dict[Cell, Figures] = {}
        if path is None or not path.exists():
            return
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole)
        for line in whole.splitlines():
            figures = json.loads(line)
            self.done[Cell(**figures.pop("cell"))] = figures

    def add(self, cell: Cell, figures: Figures) -> None:
        """Keep the figures of a cell."""
        self.done[cell] = figures
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"cell": asdict(cell), **figures}) + "\n")


def measure(cell: Cell, pictures: LabelledSet, methods: Methods) -> Figures:
    """Train and cluster; the labels are looked at afterwards.

    Raises:
        TrainingFailed: too few pictures, or a loss that is not finite.
        ConfigurationError: what the method needs is not installed.
    """
    started, cpu = time.perf_counter(), time.process_time()
    chosen = pictures if cell.absent is None else pictures.without(cell.absent)
    chosen = chosen.cut(cell.limit)
    cluster = ClusterSettings(n_clusters=len(chosen.kinds))
    pixels = np.ascontiguousarray(chosen.pixels[chosen.train])
    names = [str(row) for row in chosen.train]
    split = divide(names, cluster.least_n_clusters, TrainSettings().held_out)
    embedder = methods(cell.method, pixels, split.rows, split.held_out, cell.seed)
    figures: Figures = {"train_s": time.perf_counter() - started, "train_cpu_s": time.process_time() - cpu}
    figures |= {"n_trained_on": len(split.rows), "n_scored": len(chosen.scored), "n_new": len(chosen.new)}
    scored = embedder.embed(chosen.pixels[chosen.scored])
    truth, is_new = chosen.labels[chosen.scored], np.isin(chosen.scored, chosen.new)
    if cell.method == "notebook":
        clusters = notebook_clusters(scored, cluster.least_n_clusters, cell.seed)
    else:
        everything = np.arange(len(scored))
        refit = fit_any(scored, everything, everything, cluster, cell.seed)
        clusters = refit.assign(refit.project(scored)).indices
        kept = fit_any(embedder.embed(pixels), split.rows, split.held_out, cluster, cell.seed)
        placed = kept.assign(kept.project(scored[is_new]))
        figures["false_alarms"] = unknown_share(kept, scored[is_new])
        figures["refit_new"] = agreement(truth[is_new], clusters[is_new]).accuracy
        figures["placed_new"] = agreement(truth[is_new], placed.indices).accuracy
        if cell.absent is not None:
            absent = embedder.embed(pictures.pixels[pictures.of(cell.absent)])
            figures["flagged"] = unknown_share(kept, absent)
    found = agreement(truth, clusters)
    figures |= {"accuracy": found.accuracy, "nmi": found.nmi, "ari": found.ari}
    if cell.absent is None and cell.seed == 0:  # every seed costs the same
        figures |= embedder.cost(chosen.pixels[chosen.scored])
    return figures | {
        "seconds": time.perf_counter() - started,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "load": os.getloadavg()[1],
    }


def unknown_share(clusterer: Clusterer, embeddings: Floats) -> float:
    """Tell how many of embeddings (B, D) lie farther out than is usual, as `Predictor` does."""
    projections = clusterer.project(embeddings)
    left = clusterer.residuals(embeddings, projections)
    return float((clusterer.strangeness(clusterer.assign(projections), left) > 1).mean())


def commit() -> str:
    """Give the commit that is checked out, with a + if files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],  # noqa: S607 - whichever git there is
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()
