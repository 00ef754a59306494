"""The pictures of the demo: handwritten digits, or a folder; their labels only measure."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from console.picture_names import SUFFIXES
from producer.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class DemoPicture:
    """A picture as an upload platform would have it; the label, if known, only measures."""

    key: str
    data: bytes
    label: str | None


def digits() -> list[DemoPicture]:
    """Draw scikit-learn's 1,797 handwritten digits, 8 x 8, as PNG files."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes seconds, which a folder and --help do without

    data = load_digits()
    pictures = []
    for index, (grey, label) in enumerate(zip(data.images, data.target, strict=True)):
        file = BytesIO()
        Image.fromarray((grey * (255 / 16)).astype(np.uint8)).save(file, "PNG")
        pictures.append(DemoPicture(f"digits/{index:04d}.png", file.getvalue(), str(label)))
    return pictures


def folder(path: Path) -> list[DemoPicture]:
    """Read a folder of pictures; the name of a subfolder is taken for the label.

    Raises:
        ConfigurationError: there is no such folder, or no picture in it.
    """
    if not path.is_dir():
        raise ConfigurationError(f"no folder {path}")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ConfigurationError(f"no pictures in {path}: looked for files ending in {', '.join(SUFFIXES)}")
    relative = [file.relative_to(path) for file in files]
    return [
        DemoPicture(name.as_posix(), file.read_bytes(), name.parts[0] if len(name.parts) > 1 else None)
        for name, file in zip(relative, files, strict=True)
    ]


def write_labels(pictures: Sequence[DemoPicture], workdir: Path) -> Path | None:
    """Write down the labels, for the report's accuracy only; None if there are none."""
    known = [
        (picture.key, picture.label)
        for picture in pictures
        if picture.label is not None and picture.key.isprintable()
    ]
    if not known:
        return None
    path = workdir / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(known)
    return path
