import mmap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.room import is_mapped, parts, release, room, take

RESIDENT = "Rss:"


@pytest.fixture
def everything_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.room.IN_MEMORY_BYTES", 0)


@pytest.fixture
def mapped(everything_large: None, tmp_path: Path) -> NDArray[np.float32]:
    array = room((4000, 8), np.float32, tmp_path)
    array[:] = np.arange(4000)[:, None]
    return array


def resident_kib(array: NDArray[np.float32]) -> int:
    """Read from the kernel how much of an array's mapping this process holds."""
    address = array.ctypes.data
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        first = line.partition(" ")[0]
        start, dash, end = first.partition("-")
        if dash and int(start, 16) <= address < int(end, 16):
            return int(next(field for field in lines if field.startswith(RESIDENT)).split()[1])
    raise AssertionError("no such mapping")


def test_a_small_array_is_in_memory_and_a_large_one_in_a_file_without_a_name(tmp_path: Path) -> None:
    small = room((10, 3), np.float32, tmp_path)
    large = room((1 << 20, 9), np.float32, tmp_path)

    assert (is_mapped(small), is_mapped(large)) == (False, True)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_still_there_after_it_was_released(mapped: NDArray[np.float32]) -> None:
    release(mapped)

    np.testing.assert_array_equal(mapped[:, 0], np.arange(4000))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_released_pages_are_no_longer_this_processes(mapped: NDArray[np.float32]) -> None:
    assert resident_kib(mapped) >= mapped.nbytes // 1024

    release(mapped)

    assert resident_kib(mapped) <= mmap.PAGESIZE // 1024


@pytest.mark.parametrize("large", [False, True])
def test_rows_and_parts_are_copies_of_what_the_array_holds(
    *, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.room.IN_MEMORY_BYTES", 0 if large else 1 << 30)
    array = room((1500, 2), np.float32, tmp_path)
    array[:] = np.random.default_rng(0).normal(size=array.shape)
    rows = np.random.default_rng(1).permutation(1500)

    np.testing.assert_array_equal(take(array, rows), np.asarray(array)[rows])
    found = dict(parts(array, 400))
    assert list(found) == [0, 400, 800, 1200]
    np.testing.assert_array_equal(np.concatenate(list(found.values())), array)


def test_a_disk_without_room_is_an_error_and_no_crash_later(everything_large: None, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"space|large|memory"):
        room((1 << 50, 1), np.float32, tmp_path)
