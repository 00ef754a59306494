"""A folder for what a training keeps on disk: gone with its block, or with the next one if it was killed.

Who holds it locks it (flock: it ends with the process, however that ends, and is seen from other containers
on the same disk). A folder that can be locked is nobody's.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

PREFIX: Final = "shoal-work-"
DRAFT: Final = "shoal-new-"  # until it is locked


@contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder in `parent`, by default the system's, and first remove what killed processes left there.

    Raises:
        OSError: it cannot be made.
    """
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=parent))
    folder = draft.with_name(draft.name.replace(DRAFT, PREFIX))
    _remove_abandoned(draft.parent)
    lock = os.open(draft, os.O_RDONLY)
    try:
        with suppress(OSError):  # on a disk that knows no locks nobody will take it for abandoned either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # held, or somebody else's, or gone meanwhile
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                log.info("the work folder of a process that was killed is removed", folder=str(folder))
            finally:
                os.close(lock)
