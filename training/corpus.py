"""What a model is fitted on: pixels in a file that is mapped, not loaded, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from model_store.manifest import Snapshot

FILE_NAME = "corpus.npy"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Pictures ready for training.

    Attributes:
        pixels: (N, S, S, 3) uint8, RGB; usually mapped read-only from a file in the run's work folder.
        names: (N,), where each picture came from: a path in the folder, a key, a row number.
        rejected: how many were not taken, by error code.
        n_duplicates: how many were dropped because the same bytes had been taken already.
        n_near_duplicates: how many were dropped because one that looks the same had been taken already.
        digest: sha256 over the names and contents of what was taken, in order.
        span: when the oldest and the newest were first classified, where that is known.
    """

    pixels: NDArray[np.uint8]
    names: tuple[str, ...]
    digest: str
    rejected: Mapping[str, int] = field(default_factory=dict)
    n_duplicates: int = 0
    n_near_duplicates: int = 0
    span: tuple[datetime, datetime] | None = None

    @property
    def n_rejected(self) -> int:
        """How many were not taken, duplicates aside."""
        return sum(self.rejected.values())

    def snapshot(self, source: str) -> Snapshot:
        """Describe it for a manifest."""
        oldest, newest = self.span or (None, None)
        return Snapshot(
            source=source,
            digest=self.digest,
            n_images=len(self.pixels),
            n_rejected=self.n_rejected,
            n_duplicates=self.n_duplicates,
            n_near_duplicates=self.n_near_duplicates,
            oldest=oldest,
            newest=newest,
        )

    def __len__(self) -> int:
        return len(self.names)


class PixelFile:
    """Writes (S, S, 3) uint8 rows one after another into `corpus.npy`; their number need not be known.

    A context manager: leaving it completes the file, leaving it by an exception removes it.
    """

    def __init__(self, workdir: Path, side: int) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self.path = workdir / FILE_NAME
        self._side = side
        self._n_rows = 0
        self.path.unlink(missing_ok=True)  # a mapping of an earlier corpus keeps the earlier file
        self._file = self.path.open("wb")
        self._write_header()

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Write one picture: (S, S, 3) uint8."""
        if pixels.shape != (self._side, self._side, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"a row is ({self._side}, {self._side}, 3) uint8, not {pixels.shape} {pixels.dtype}"
            )
        self._file.write(pixels.tobytes())
        self._n_rows += 1

    def mapped(self) -> NDArray[np.uint8]:
        """Map the completed file: (N, S, S, 3) uint8, read-only; N must not be 0."""
        pixels: NDArray[np.uint8] = np.load(self.path, mmap_mode="r")
        return pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._write_header()
        self._file.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis may grow in place
        shape = (self._n_rows, self._side, self._side, 3)
        npy.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
