"""Right of way at the store: while something urgent is in work, only a few others at a time."""

import contextlib
import threading
from collections.abc import Iterator


class RightOfWay:
    """Lets all through, or a few at a time. Thread-safe."""

    def __init__(self, few: int) -> None:
        """Be open; `few` pass at a time while something is urgent."""
        self._few = few
        self._changed = threading.Condition()
        self._urgent = 0
        self._inside = 0
        self._of_this_thread = threading.local()

    @property
    def mine(self) -> bool:
        """Whether this thread is in an `urgent` block: it need not ask to pass."""
        return getattr(self._of_this_thread, "urgent", False)

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold the other threads back during the block; not to be nested."""
        with self._changed:
            self._urgent += 1
        self._of_this_thread.urgent = True
        try:
            yield
        finally:
            self._of_this_thread.urgent = False
            with self._changed:
                self._urgent -= 1
                if not self._urgent:
                    self._changed.notify_all()

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside, as soon as that is allowed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._urgent or self._inside < self._few)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()
