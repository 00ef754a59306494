"""Right of way at the store: while something urgent is in work, and a moment longer, few others pass."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

LINGER_S: Final = 0.25  # after the last: singles come one after the other, and what is in flight lands late


class RightOfWay:
    """Lets all through, or a few at a time. Thread-safe."""

    def __init__(self, few: int) -> None:
        """Be open; `few` pass at a time while something is urgent, and for LINGER_S after."""
        self._few = few
        self._changed = threading.Condition()
        self._urgent = 0
        self._inside = 0
        self._quiet_from = float("-inf")
        self._of_this_thread = threading.local()

    @property
    def mine(self) -> bool:
        """Whether this thread is in an `urgent` block: it need not ask to pass."""
        return getattr(self._of_this_thread, "urgent", False)

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold the other threads back during the block, and a moment longer; not to be nested."""
        with self._changed:
            self._urgent += 1
        self._of_this_thread.urgent = True
        try:
            yield
        finally:
            self._of_this_thread.urgent = False
            with self._changed:
                self._urgent -= 1
                self._quiet_from = time.monotonic() + LINGER_S

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside, as soon as that is allowed."""
        with self._changed:
            while self._inside >= self._few and not self._open():
                self._changed.wait(LINGER_S if self._urgent else self._quiet_from - time.monotonic())
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def _open(self) -> bool:
        return not self._urgent and time.monotonic() >= self._quiet_from
