"""Batches read from the corpus while the device computes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from training.recipes import Batch
from training.room import take


@dataclass(frozen=True)
class Pictures:
    """M of N pictures: `rows` (M,) of `pixels` (N, S, S, 3) uint8; targets (M, T) float32 or nothing."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.intp]
    targets: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, chosen: NDArray[np.intp], *, pinned: bool = False) -> Batch:
        """Read these of the M, and only these; into pinned memory where a GPU is to fetch them by itself."""
        chosen = np.sort(chosen)  # a memory-mapped file is then read forwards
        pixels = torch.from_numpy(take(self.pixels, self.rows[chosen]))
        targets = None if self.targets is None else torch.from_numpy(take(self.targets, chosen))
        if pinned:
            pixels, targets = pixels.pin_memory(), None if targets is None else targets.pin_memory()
        return Batch(pixels, targets)

    def batch(self, chosen: NDArray[np.intp], device: torch.device) -> Batch:
        """Read these of the M onto the device."""
        return on_device(self.read(chosen), device)


class ReadAhead:
    """Gives the batches of an endless order of rows, on the device; a thread is some batches ahead.

    A context manager: leaving it ends the thread. The batches are the same, read ahead or not.
    """

    def __init__(
        self, pictures: Pictures, order: Iterator[NDArray[np.intp]], device: torch.device, depth: int
    ) -> None:
        self._pictures, self._order, self._device, self._depth = pictures, order, device, depth
        self._waiting: deque[Future[Batch]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def __next__(self) -> Batch:
        """Wait for the next batch, if it is not there yet."""
        if not self._depth:
            return on_device(self._read(next(self._order)), self._device)
        while len(self._waiting) <= self._depth:
            self._waiting.append(self._pool.submit(self._read, next(self._order)))
        return on_device(self._waiting.popleft().result(), self._device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read(self, rows: NDArray[np.intp]) -> Batch:
        return self._pictures.read(rows, pinned=self._device.type == "cuda")


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch; from pinned memory the copy does not wait for what the GPU has still to do."""
    targets = None if batch.targets is None else batch.targets.to(device, non_blocking=True)
    return Batch(batch.pixels.to(device, non_blocking=True), targets)
