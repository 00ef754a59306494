"""Right of way at the store: while something urgent is in work nobody else passes, and then few for a moment.

Nobody is held back for ever: what is held back for PATIENCE_S in all passes a few at a time, whatever is
urgent, until it was let pass for half as long. So others have a third of the time at least.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

LINGER_S: Final = 0.25  # after the last: singles come one after the other, and what is in flight lands late
PATIENCE_S: Final = 0.5
FORGIVEN: Final = 2.0  # seconds of being held back, by each in which others may pass


class RightOfWay:
    """Lets all through, a few at a time, or nobody for a while. Thread-safe."""

    def __init__(self, few: int) -> None:
        """Be open; for LINGER_S after something was urgent `few` pass at a time."""
        self._few = few
        self._changed = threading.Condition()
        self._urgent = 0
        self._inside = 0
        self._quiet_from = float("-inf")
        self._held_back_s, self._counted_at = 0.0, time.monotonic()
        self._of_this_thread = threading.local()

    @property
    def mine(self) -> bool:
        """Whether this thread is in an `urgent` block: it need not ask to pass."""
        return getattr(self._of_this_thread, "urgent", False)

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold the other threads back during the block, and a moment longer; not to be nested."""
        with self._changed:
            self._count()
            self._urgent += 1
        self._of_this_thread.urgent = True
        try:
            yield
        finally:
            self._of_this_thread.urgent = False
            with self._changed:
                self._quiet_from = self._count() + LINGER_S
                self._urgent -= 1
                self._changed.notify(self._few)

    @contextlib.contextmanager
    def passing(self, unwanted: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Be inside, as soon as that is allowed; False at once if nobody wants what one came for any more."""
        with self._changed:
            while (wait_s := self._closed_for_s()) > 0 and not unwanted():
                self._changed.wait(min(wait_s, LINGER_S))  # not all are told when it opens
            self._inside += 1
            if not self._urgent and time.monotonic() >= self._quiet_from:
                self._changed.notify_all()  # it is open, and the others need not wait longer
        try:
            yield not unwanted()
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def look_again(self) -> None:
        """Wake all who wait: what some of them came for is not wanted any more."""
        with self._changed:
            self._changed.notify_all()

    def _closed_for_s(self) -> float:
        """Tell for how long one who waits may not pass, unless something changes."""
        now = self._count()
        if self._urgent and self._held_back_s < PATIENCE_S:
            return PATIENCE_S - self._held_back_s
        if self._inside < self._few:
            return 0.0
        return LINGER_S if self._urgent else self._quiet_from - now

    def _count(self) -> float:
        """Bring up to date for how long others were held back; gives the moment."""
        now = time.monotonic()
        passed_s, self._counted_at = now - self._counted_at, now
        change_s = passed_s if self._urgent else -FORGIVEN * passed_s
        self._held_back_s = min(PATIENCE_S, max(0.0, self._held_back_s + change_s))
        return now
