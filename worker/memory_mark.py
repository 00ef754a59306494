"""Ends a worker that has grown too large, in order, so that its supervisor starts a fresh one.

A worker holds what its settings say, and no more is known to grow; this is for the leak that nobody has
found yet. The decoding processes have limits of their own, and are not counted.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
STATM: Final = Path("/proc/self/statm")


class MemoryMark:
    """The thread that looks at the resident memory of this process."""

    def __init__(
        self, mark_bytes: int, end: Callable[[], None] | None = None, look_s: float = LOOK_S
    ) -> None:
        """Start nothing yet. `end` is called once; by default it begins the drain, as SIGTERM does."""
        self._mark_bytes = mark_bytes
        self._end = end or _begin_drain
        self._look_s = look_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-mark", daemon=True)

    def start(self) -> None:
        """Begin to look, unless the mark makes no sense: a worker that ends at its start does no work."""
        if not STATM.exists():
            log.error("memory_mark_bytes has no effect: this system has no /proc/self/statm")
        elif resident_bytes() > self._mark_bytes:
            log.error(
                "memory_mark_bytes has no effect: a worker without work is larger",
                resident_bytes=resident_bytes(),
                mark_bytes=self._mark_bytes,
            )
        else:
            self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._look_s):
            size_bytes = resident_bytes()
            if size_bytes > self._mark_bytes:
                log.warning(
                    "the worker has grown past its mark, and ends",
                    resident_bytes=size_bytes,
                    mark_bytes=self._mark_bytes,
                )
                self._end()
                return


def resident_bytes() -> int:
    """Tell how much memory of this process is resident; Linux only."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _begin_drain() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
