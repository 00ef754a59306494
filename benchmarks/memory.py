"""Peak memory of a training run against the size of its corpus; each in a process of its own.

The corpus is CIFAR-10 repeated, with noise. Figures are the kernel's VmHWM of the child: the most that was
resident at once, mapped files included. Prints a table, then one JSON line.

    .venv/bin/python -m benchmarks.memory ../shared/data/cifar10/train.npz [--sizes 20000 200000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from console.new_model import into_folder
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from training.candidate import Candidates
from training.command_checkpoints import FileCheckpoints
from training.corpus import Corpus
from training.dataset import from_npy
from training.near_duplicates import NearDuplicates
from training.progress import Silent
from training.recipes import distilled
from training.room import parts
from training.settings import Settings
from training.train import train

CIFAR10 = Path("../shared/data/cifar10/train.npz")
SIDE = 32
PART = 2000
NOISE = 12  # grey levels, standard deviation


class StandIn:
    """In place of a teacher, whose own time would be hours: random projections as long as its features."""

    name, side = "stand-in", SIDE

    def __init__(self) -> None:
        self._weights = np.random.default_rng(0).normal(size=(SIDE * SIDE * 3, 1280)).astype(np.float32)

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe pictures: (B, S, S, 3) to (B, 1280)."""
        return (pixels.reshape(len(pixels), -1).astype(np.float32) / 255 - 0.5) @ self._weights


def settings(steps: int, recipe: str = "pixel") -> Settings:
    # a small network: its own memory is the same for any corpus, and would only hide what grows
    architecture = {"widths": (8, 16), "embedding_dim": 96}
    fit = {"recipe": recipe, "epochs": 1, "min_steps": 1, "max_steps": steps, "device": "cpu"}
    fit["architecture"] = architecture
    return Settings.model_validate({"training": {"fit": fit, "cluster": {"n_init": 3}}})


def alone(pictures: Path, workdir: Path, steps: int) -> None:
    """`shoal train X.npy --out DIR`."""
    into_folder(pictures, "default", settings(steps), workdir, Silent(), workdir / "out")


def with_targets(pictures: Path, workdir: Path, steps: int) -> None:
    distilled.load_teacher = lambda *_: StandIn()  # type: ignore[assignment]
    into_folder(pictures, "default", settings(steps, "distilled"), workdir, Silent(), workdir / "out")


def beside_a_champion(pictures: Path, workdir: Path, steps: int) -> None:
    """What the trainer does, once the pictures are decoded; the champion knows the first 2,000."""
    training = settings(steps).training
    registry = Registry(MemoryStore(), "default")
    corpus = from_npy(pictures, training.preprocess, workdir)
    few = Corpus(np.array(corpus.pixels[:PART]), corpus.names[:PART], "0" * 64)
    first = train(few, training, Silent(), source="npy")
    target = registry.publish(first.manifest, first.files)
    Candidates(registry, training, Silent()).make(
        corpus,
        registry.promote(target.version),
        lambda _: corpus,
        taken=(),
        checkpoints=FileCheckpoints(workdir, 60),
        workdir=workdir,
    )


def near_duplicates(pictures: Path, workdir: Path, steps: int) -> None:
    """Only their memory, of pictures that all differ."""
    _ = steps
    known, rng = NearDuplicates(workdir), np.random.default_rng(0)
    for _, part in parts(np.load(pictures, mmap_mode="r"), PART):
        for _ in part:
            known.seen(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))


CASES: dict[str, Callable[[Path, Path, int], None]] = {
    "train": alone,
    "train, distilled": with_targets,
    "beside a champion": beside_a_champion,
    "near duplicates": near_duplicates,
}


def draw(source: Path, n: int, path: Path) -> None:
    """Write n pictures: the source over and over, each time with other noise."""
    with np.load(source) as data:
        real = data["x"]
    rng, out = np.random.default_rng(0), open_memmap(path, "w+", np.uint8, (n, SIDE, SIDE, 3))
    for start in range(0, n, PART):
        rows = np.arange(start, min(n, start + PART)) % len(real)
        noisy = real[rows] + NOISE * rng.standard_normal((len(rows), SIDE, SIDE, 3), np.float32)
        out[start : start + len(rows)] = noisy.clip(0, 255).astype(np.uint8)
    out.flush()


def high_water_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def measured(case: str, pictures: Path, steps: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.memory",
        str(pictures),
        "--child",
        case,
        "--steps",
        str(steps),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{case}: {answer.stderr}")
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", type=Path, nargs="?", default=CIFAR10, help="npz with x (N, 32, 32, 3) uint8"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--child", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.source.exists():
        print(f"skipped: {options.source} is not there")
        return
    if options.child:
        before, started = high_water_mib(), time.perf_counter()
        with tempfile.TemporaryDirectory() as workdir:
            CASES[options.child](options.source, Path(workdir), options.steps)
        seconds = time.perf_counter() - started
        print(json.dumps({"imports_mib": before, "peak_mib": high_water_mib(), "seconds": seconds}))
        return
    answers: dict[str, dict[str, dict[str, float]]] = {case: {} for case in options.cases}
    print(f"{'case':<20} {'pictures':>9} {'imports MiB':>12} {'peak MiB':>9} {'of the first':>12} {'s':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            draw(options.source, size, Path(folder, "x.npy"))
            for case in options.cases:
                found = measured(case, Path(folder, "x.npy"), options.steps)
                answers[case][str(size)] = found
                ratio = found["peak_mib"] / answers[case][str(options.sizes[0])]["peak_mib"]
                row = f"{case:<20} {size:>9,} {found['imports_mib']:>12.0f} {found['peak_mib']:>9.0f}"
                print(f"{row} {ratio:>12.2f} {found['seconds']:>6.0f}", flush=True)
    print(json.dumps({"benchmark": "memory", "what": "VmHWM, mapped files included", "cases": answers}))


if __name__ == "__main__":
    main()
