"""Speed of training: pictures a second by recipe, and PCA and KMeans against the size of the corpus.

Recipes train on CIFAR-10 with the default network; the teacher of `distilled` is asked before the first step
and timed by itself. Clustering is of drawn embeddings (N, 96) of ten kinds, at once (exact) and part by part
(streamed), with the inertia of both. Beside wall time stands CPU time: on a machine that others use
too, it alone says something. Prints tables, then one JSON line.

    .venv/bin/python -m benchmarks.train ../shared/data/cifar10/train.npz [--precision bfloat16]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.clusterer import Clusterer
from model_store.predictor import best_device
from training.cluster import fit_clusterer
from training.cluster_settings import ClusterSettings
from training.fit import fit_autoencoder
from training.fit_settings import FitSettings
from training.progress import Silent
from training.room import parts, room
from training.streamed_cluster import assign_parts, fit_streamed, project_parts

CIFAR10 = Path("../shared/data/cifar10/train.npz")
DIM, KINDS = 96, 10
WARM_UP = 4  # steps


def speed(
    pixels: NDArray[np.uint8], recipe: str, steps: int, options: argparse.Namespace
) -> dict[str, float]:
    """Time each step of one fit; images/s from the median step, and what came before the first."""
    settings = FitSettings.model_validate(
        {
            "recipe": recipe,
            "min_steps": steps,
            "max_steps": steps,
            "device": options.device,
            "precision": options.precision,
            "read_ahead": options.read_ahead,
        }
    )
    ticks, cpu = [time.perf_counter()], [time.process_time()]

    class Ticking(Silent):
        def stage(self, name: str, total: int | None = None) -> None:  # noqa: ARG002 - Progress's signature
            self.training = name == "train"

        def advance(self, done: int, total: int | None = None) -> None:  # noqa: ARG002 - as above
            if not self.training:
                return
            if done <= WARM_UP and best_device(options.device) != "cpu":
                torch.cuda.synchronize()
            ticks.append(time.perf_counter())
            cpu.append(time.process_time())

    fit_autoencoder(pixels, pixels[:128], settings, progress=Ticking())
    if best_device(options.device) != "cpu":  # steps are only queued: the whole tells, not one
        step_s = (ticks[-1] - ticks[WARM_UP]) / (len(ticks) - 1 - WARM_UP)
    else:
        step_s = statistics.median(np.diff(ticks[WARM_UP:]).tolist())
    return {
        "images_per_s": settings.batch_size / step_s,
        "images_per_cpu_s": settings.batch_size / statistics.median(np.diff(cpu[WARM_UP:]).tolist()),
        "before_first_step_s": ticks[1] - ticks[0],
        "before_first_step_cpu_s": cpu[1] - cpu[0],
    }


def drawn(n: int, folder: Path) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(KINDS, DIM))
    embeddings: NDArray[np.float32] = room((n, DIM), np.float32, folder)
    for start in range(0, n, 8192):
        size = min(8192, n - start)
        embeddings[start : start + size] = centres[rng.integers(0, KINDS, size)] + rng.normal(
            size=(size, DIM)
        )
    return embeddings


def inertia(clusterer: Clusterer, embeddings: NDArray[np.float32], folder: Path) -> float:
    distances = assign_parts(clusterer, project_parts(clusterer, embeddings, folder)).distances
    return float(np.square(distances, dtype=np.float64).mean())


def clustering(n: int, in_memory: int, folder: Path, *, exact: bool) -> dict[str, float]:
    embeddings = drawn(n, folder)
    rows, held_out = np.arange(n // 10, n), np.arange(n // 10)
    settings, found = ClusterSettings(in_memory=in_memory), dict[str, float]()
    started, cpu = time.perf_counter(), time.process_time()
    streamed = fit_streamed(embeddings, rows, held_out, settings, 0, folder=folder)
    found |= {"streamed_s": time.perf_counter() - started, "streamed_cpu_s": time.process_time() - cpu}
    found["streamed_inertia"] = inertia(streamed, embeddings, folder)
    if exact:
        whole = np.concatenate([part for _, part in parts(embeddings, 8192)])
        started, cpu = time.perf_counter(), time.process_time()
        at_once = fit_clusterer(whole[rows], whole[held_out], settings, 0)
        found |= {"exact_s": time.perf_counter() - started, "exact_cpu_s": time.process_time() - cpu}
        found["exact_inertia"] = inertia(at_once, embeddings, folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", type=Path, nargs="?", default=CIFAR10, help="npz with x (N, 32, 32, 3) uint8"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--read-ahead", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pictures", type=int, default=2000, help="of them the teacher is asked")
    parser.add_argument("--recipes", nargs="*", default=["pixel", "pure", "distilled"])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 50_000, 200_000])
    parser.add_argument("--in-memory", type=int, default=ClusterSettings().in_memory)
    options = parser.parse_args()
    if not options.source.exists():
        print(f"skipped: {options.source} is not there")
        return
    with np.load(options.source) as data:
        pixels = data["x"][: options.pictures]
    device, threads = best_device(options.device), torch.get_num_threads()
    print(f"{device}, torch {torch.__version__}, {threads} threads, precision {options.precision}")
    answer: dict[str, Any] = {"benchmark": "train", "device": device, "threads": threads, "recipes": {}}
    if options.recipes:
        print(
            f"{'recipe':<10} {'images/s':>9} {'per CPU s':>10} {'before the first step: s':>25} {'CPU s':>6}"
        )
    for recipe in options.recipes:
        found = speed(pixels, recipe, options.steps, options)
        answer["recipes"][recipe] = found
        row = f"{recipe:<10} {found['images_per_s']:>9,.0f} {found['images_per_cpu_s']:>10,.0f}"
        before = f"{found['before_first_step_s']:>25.1f} {found['before_first_step_cpu_s']:>6.1f}"
        print(row, before, flush=True)
    answer["clustering"] = {}
    if options.sizes:
        print(f"{'pictures':>9} {'exact s':>8} {'CPU s':>6} {'streamed s':>11} {'CPU s':>6} {'inertia':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for n in options.sizes:
            found = clustering(n, min(options.in_memory, n), Path(folder), exact=True)
            answer["clustering"][str(n)] = found
            ratio = found["streamed_inertia"] / found["exact_inertia"]
            row = f"{n:>9,} {found['exact_s']:>8.1f} {found['exact_cpu_s']:>6.1f}"
            streamed = f"{found['streamed_s']:>11.1f} {found['streamed_cpu_s']:>6.1f}"
            print(row, streamed, f"{ratio:>8.4f}", flush=True)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
