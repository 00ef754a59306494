"""What a worker has in hand, and when it last took or finished something: for watchdog, drain and health."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class Progress:
    """Counts messages in and out. Thread-safe. Times are seconds of a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is in work, and the start counts as progress."""
        self.clock = clock
        self._lock = threading.Lock()
        self._in_work: dict[str, tuple[float, int]] = {}  # id -> since, how often (duplicates)
        self._last = clock()

    @property
    def last_at(self) -> float:
        """When something was last taken or finished."""
        return self._last

    def taken(self, message_id: str) -> None:
        """Note that work on a message begins."""
        with self._lock:
            self._last = self.clock()
            since, times = self._in_work.get(message_id, (self._last, 0))
            self._in_work[message_id] = (since, times + 1)

    def finished(self, message_id: str) -> None:
        """Note that work on a message has ended, well or not; what was never taken is passed over."""
        with self._lock:
            self._last = self.clock()
            since, times = self._in_work.pop(message_id, (self._last, 0))
            if times > 1:
                self._in_work[message_id] = (since, times - 1)

    @contextlib.contextmanager
    def working(self, message_id: str) -> Iterator[None]:
        """Note both ends of the block."""
        self.taken(message_id)
        try:
            yield
        finally:
            self.finished(message_id)

    def in_work(self) -> dict[str, float]:
        """Tell since when each message is in work, oldest first."""
        with self._lock:
            found = [(since, message_id) for message_id, (since, _) in self._in_work.items()]
        return {message_id: since for since, message_id in sorted(found)}

    def ages_s(self) -> dict[str, float]:
        """Tell for how many seconds each message is in work, oldest first."""
        now = self.clock()
        return {message_id: round(now - since, 1) for message_id, since in self.in_work().items()}
