"""Whether the drift alarm rises when it should, and only then, on labelled pictures of ten kinds.

    .venv/bin/python -m benchmarks.drift ../shared/data/cifar10/train.npz [--seeds 3]

For each seed a model is trained on 4,000 pictures. Windows of 1,000 are drawn, with repetition, from those
that it has not seen: 50 of the kinds it knows, then twenty times two in which half the pictures are others.
New kinds: the model knows five kinds, and the other five come. One kind: it knows all ten, and one of them
becomes half of all.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.identity import Bench
from model_store.bundle import Bundle
from model_store.bundle_files import REFERENCE
from model_store.preprocess import Preprocess
from training.dataset import from_npy
from training.drift import Alarm, DriftSettings, Reading, Window, read, step
from training.drift_window import usual

TRAINED_ON, QUIET_WINDOWS, CHANGES = 4_000, 50, 20
BENCH = Bench(steps=300, widths=(24, 48, 96))
SETTINGS = DriftSettings()
COLUMNS = tuple(field.name for field in fields(Window))


def seen_by(model: Bundle, pixels: NDArray[np.uint8]) -> Window:
    parts = [model.predict(pixels[start : start + 500]) for start in range(0, len(pixels), 500)]
    return Window(
        projections=np.concatenate([part.projections for part in parts]),
        clusters=np.concatenate([part.nearest[:, 0] for part in parts]).astype(np.int64),
        unknown=np.concatenate([part.unknown for part in parts]),
        residuals=np.concatenate([part.residuals for part in parts]),
    )


def rows(of: Window, chosen: NDArray[np.intp]) -> Window:
    return Window(*(getattr(of, name)[chosen] for name in COLUMNS))


def drawn(n: int, of: Window, rng: np.random.Generator) -> Window:
    return rows(of, rng.integers(len(of.clusters), size=n))


def half_and_half(a: Window, b: Window, rng: np.random.Generator) -> Window:
    halves = [drawn(SETTINGS.window_images // 2, of, rng) for of in (a, b)]
    return Window(*(np.concatenate([getattr(half, name) for half in halves]) for name in COLUMNS))


def attempt(
    pixels: NDArray[np.uint8], kinds: NDArray[np.int64], recipe: str, case: str, seed: int
) -> dict[str, object]:
    """Train, draw the windows, and count the alarms."""
    rng = np.random.default_rng(seed)
    known = rng.permutation(10)[:5] if case == "new kinds" else np.arange(10)
    order = rng.permutation(np.flatnonzero(np.isin(kinds, known)))
    with tempfile.TemporaryDirectory() as folder:
        np.save(file := Path(folder) / "x.npy", pixels[order[:TRAINED_ON]])
        corpus = from_npy(file, Preprocess(), Path(folder))
        trained = BENCH.train(corpus, recipe, seed, len(known))
    model, unseen = trained.load(), order[TRAINED_ON:]
    same = seen_by(model, pixels[unseen])
    if case == "new kinds":
        others = [seen_by(model, pixels[~np.isin(kinds, known)])]
    else:
        others = [rows(same, np.flatnonzero(kinds[unseen] == kind)) for kind in known]
    reference = usual(trained.files[REFERENCE], len(corpus.pixels))

    def reading(window: Window) -> Reading:
        return read("v", reference, window, SETTINGS)

    quiet = [reading(drawn(SETTINGS.window_images, same, rng)) for _ in range(QUIET_WINDOWS)]
    pairs = [
        [reading(half_and_half(same, others[n % len(others)], rng)) for _ in range(2)] for n in range(CHANGES)
    ]
    changed = [second for _, second in pairs]
    return {
        "recipe": recipe,
        "case": case,
        "seed": seed,
        "false": sum(alarms([one]) for one in quiet),
        "raised": sum(alarms(pair) for pair in pairs),
        "by": dict(Counter(figure.name for one in changed for figure in one.figures if figure.level >= 1)),
        "highest when quiet": levels(quiet, np.max),
        "least when changed": levels(changed, np.min),
    }


def alarms(readings: Sequence[Reading]) -> bool:
    alarm: Alarm | None = None
    for one in readings:
        alarm = step(alarm, one, datetime.now(UTC), SETTINGS)
    return alarm is not None and alarm.since is not None


def levels(readings: Sequence[Reading], summary: np.ufunc) -> dict[str, float]:  # type: ignore[type-arg]
    names = [figure.name for figure in readings[0].figures]
    found = np.array([[figure.level for figure in one.figures] for one in readings])
    return {name: round(float(summary(found[:, i])), 2) for i, name in enumerate(names)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=Path, help="npz of x (N, 32, 32, 3) uint8 and y (N,), 0 to 9")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=["pure", "distilled"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data, told = np.load(asked.pictures), []
    columns = (
        f"false alarms of {QUIET_WINDOWS}",
        f"raised of {CHANGES}",
        "by",
        "levels, quiet",
        "levels, changed",
    )
    print("| recipe | case | seed | " + " | ".join(columns) + " |\n" + "|---" * (3 + len(columns)) + "|")
    for recipe in asked.recipes:
        for case in ("new kinds", "one kind"):
            for seed in range(asked.seeds):
                figures = attempt(data["x"], data["y"], recipe, case, seed)
                cells = (json.dumps(cell) if isinstance(cell, dict) else cell for cell in figures.values())
                print(
                    "| " + " | ".join(str(cell).replace('"', "").strip("{}") for cell in cells) + " |",
                    flush=True,
                )
                told.append(figures)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
