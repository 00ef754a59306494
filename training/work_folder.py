"""A folder for what a training keeps on disk: gone with its block, or with the next one if it was killed.

Who holds it locks it (flock: it ends with the process, however that ends, and is seen from all containers of
one kernel). Other hosts may not see it: on NFS a folder's lock is known to one of them only. So the name says
in which run of which kernel it was made, and those of others are left alone. One of our own that can be
locked is nobody's.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

log = structlog.get_logger(__name__)

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder in `parent`, by default the system's, and first remove what killed processes left there.

    What was left before the last start of this host stays, and what other hosts left.

    Raises:
        OSError: it cannot be made.
    """
    parent, prefix = parent or Path(tempfile.gettempdir()), f"shoal-work-{_boot_id()}-"
    for folder in parent.glob(f"{prefix}*"):
        _remove_if_abandoned(folder)
    folder, lock = _made(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _boot_id() -> str:
    """Name this run of this kernel; where it has no name, by one that nobody else will come by."""
    with suppress(OSError):
        return BOOT_ID.read_text().strip()
    return str(uuid4())


def _made(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder and lock it; gives the lock too, to be closed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # on a disk that knows no locks nobody will take it for abandoned either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():  # else another start came between, and took it for abandoned
                return folder, lock
            os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):  # held, or somebody else's, or gone meanwhile
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            log.info("the work folder of a process that was killed is removed", folder=str(folder))
        finally:
            os.close(lock)
