"""Arrays that may be larger than memory: in files that are mapped, of which little is resident at a time.

```
room(shape)    small: in memory; large: in a file without a name, gone with the process however that ends
take, parts    copies of some rows, or of all in order; what was mapped for them is let go again
```
Letting go costs a page fault at the next touch, no reading: the pages stay in the system's cache, where any
other process's need displaces them.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

IN_MEMORY_BYTES: Final = 32 << 20  # a larger array is mapped
RESIDENT_ROWS: Final = 128  # one that is touched maps its surroundings too, 310 KiB seen; then let go

T = TypeVar("T", bound=np.generic)


def room(shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """Make an array of zeros.

    Args:
        shape: of it.
        dtype: of it.
        folder: where the file lies if it is large; the system's for temporary files if None.

    Raises:
        OSError: the disk has not that much left.
    """
    size_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size_bytes <= IN_MEMORY_BYTES:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=folder, prefix="shoal-") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)  # a full disk is told here, not by SIGBUS later
        return np.memmap(file, dtype, "r+", shape=shape)


def take(array: NDArray[T], rows: NDArray[np.intp]) -> NDArray[T]:
    """Copy some rows (R, ...) into memory."""
    if not is_mapped(array):
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), RESIDENT_ROWS):
        chosen = rows[start : start + RESIDENT_ROWS]
        taken[start : start + len(chosen)] = array[chosen]
        release(array)
    return taken


def parts(array: NDArray[T], size: int) -> Iterator[tuple[int, NDArray[T]]]:
    """Copy an array into memory part by part, in order.

    Yields:
        The first row of the part, and up to `size` rows.
    """
    for start in range(0, len(array), size):
        yield start, np.array(array[start : start + size])
        release(array)


def release(array: NDArray[Any]) -> None:
    """Let go of the pages that are mapped for an array; one in memory is left alone.

    What was written stays: the file has it. Never for a private (copy-on-write) mapping, which would lose it.
    """
    owner = _owner(array)
    if owner is not None:
        owner.madvise(mmap.MADV_DONTNEED)


def is_mapped(array: NDArray[Any]) -> bool:
    """Tell whether an array lies in a mapped file."""
    return _owner(array) is not None


def _owner(array: NDArray[Any]) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
