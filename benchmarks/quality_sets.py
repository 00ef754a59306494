"""Labelled pictures that `quality.py` measures on; no label is ever trained on, nor used to divide a set.

```
train    what encoders and clusters are fitted on
scored   what clusters are compared with labels on: a set's own test pictures, else all of it
new      of those scored, what was not trained on
```
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from model_store.decode import DecodeLimits
from model_store.preprocess import Preprocess
from training.dataset import from_folder, from_npy

NEW_SHARE: Final = 0.2  # of a set that has no test pictures of its own

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Pictures with labels, divided.

    Attributes:
        name: of the set.
        pixels: (N, S, S, 3) uint8.
        labels: (N,).
        train: rows, ascending.
        scored: rows, ascending.
    """

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.generic]
    train: Rows
    scored: Rows

    @property
    def new(self) -> Rows:
        """Rows that are scored and were not trained on."""
        return np.setdiff1d(self.scored, self.train)

    @property
    def kinds(self) -> list[str]:
        """Every label that is scored, as text."""
        return sorted({str(label) for label in self.labels[self.scored]})

    def of(self, kind: str) -> Rows:
        """Give all rows of a kind."""
        return np.flatnonzero(self.labels.astype(str) == kind)

    def without(self, kind: str) -> Self:
        """Leave a kind out of what is trained on and scored."""
        absent = self.of(kind)
        return replace(self, train=np.setdiff1d(self.train, absent), scored=np.setdiff1d(self.scored, absent))

    def cut(self, n: int | None) -> Self:
        """Keep at most `n` rows to train on and `n` to score, by chance; those in both stay in both."""
        if n is None or n >= max(len(self.train), len(self.scored)):
            return self
        order = np.random.default_rng(0).permutation(len(self.pixels))
        train, scored = (np.sort(order[np.isin(order, rows)][:n]) for rows in (self.train, self.scored))
        return replace(self, train=train, scored=scored)


def read_sets(
    names: list[str], data: Path, npy: tuple[Path, Path, Path] | None, side: int, workdir: Path
) -> Iterator[LabelledSet]:
    """Read sets, one after another; one that is not there is passed over, and that is said.

    Args:
        names: of `SETS`, or `npy`.
        data: the folder that holds `photos`, `cifar10` and the others.
        npy: pictures to train on, pictures to score, and the labels of the latter.
        side: S, to which pictures are brought.
        workdir: for decoded pictures; it must outlive the sets.
    """
    for name in names:
        if name == "npy":
            if npy is not None:
                trained_on, scored = np.load(npy[0], mmap_mode="r"), np.load(npy[1], mmap_mode="r")
                yield _with_test(name, (trained_on, None), (scored, np.load(npy[2])), side, workdir)
        elif name != "digits" and not (data / name).exists():
            print(f"skipped: {data / name} is not there", flush=True)
        else:
            yield SETS[name](data, side, workdir)


def _digits(_: Path, side: int, workdir: Path) -> LabelledSet:
    digits = load_digits()
    grey = (digits.images * (255 / 16)).astype(np.uint8)
    return _divided("digits", _brought(grey, "digits", side, workdir), digits.target)


def _folder(name: str, data: Path, side: int, workdir: Path) -> LabelledSet:
    corpus = from_folder(data / name, Preprocess(input_size=side), DecodeLimits(), workdir / name)
    return _divided(name, corpus.pixels, np.array([path.split("/")[0] for path in corpus.names]))


def _archives(name: str, test: str, data: Path, side: int, workdir: Path) -> LabelledSet:
    pairs = []
    for part in ("train", test):
        with np.load(data / name / f"{part}.npz") as archive:
            pairs.append((archive["x"], archive["y"]))
    return _with_test(name, pairs[0], pairs[1], side, workdir)


def _with_test(
    name: str,
    trained_on: tuple[NDArray[np.uint8], NDArray[np.generic] | None],
    scored: tuple[NDArray[np.uint8], NDArray[np.generic]],
    side: int,
    workdir: Path,
) -> LabelledSet:
    pixels = np.concatenate(
        [
            _brought(x, f"{name}-{part}", side, workdir)
            for part, (x, _) in (("train", trained_on), ("scored", scored))
        ]
    )
    n = len(trained_on[0])
    unlabelled = np.full(n, "none") if trained_on[1] is None else trained_on[1].astype(str)
    labels = np.concatenate([unlabelled, scored[1].astype(str)])
    return LabelledSet(name, pixels, labels, np.arange(n), np.arange(n, len(pixels)))


def _divided(name: str, pixels: NDArray[np.uint8], labels: NDArray[np.generic]) -> LabelledSet:
    order = np.random.default_rng(0).permutation(len(pixels))
    train = np.sort(order[round(len(pixels) * NEW_SHARE) :])
    return LabelledSet(name, pixels, labels, train, np.arange(len(pixels)))


def _brought(array: NDArray[np.uint8], name: str, side: int, workdir: Path) -> NDArray[np.uint8]:
    """Bring an array (N, H, W, 3) or (N, H, W) to (N, S, S, 3), as training does."""
    np.save(file := workdir / f"{name}.npy", array)
    return from_npy(file, Preprocess(input_size=side), workdir / name).pixels


SETS: Final[dict[str, Callable[[Path, int, Path], LabelledSet]]] = {
    "digits": _digits,
    "scenery_or_animal": partial(_archives, "scenery_or_animal", "val"),
    "photos": partial(_folder, "photos"),
    "scenes": partial(_folder, "scenes"),
    "cifar10": partial(_archives, "cifar10", "test"),
}
