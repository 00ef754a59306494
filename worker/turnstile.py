"""Many at once, or one alone: whoever is suspected of killing workers must take nobody along."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class Turnstile:
    """Lets any number through together, or one alone, in the order of their coming: nobody starves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._inside = 0
        self._alone = False

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with others; waits for its turn, and while somebody is alone."""
        with self._turn(alone=False):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else; waits for its turn, and until all have left."""
        with self._turn(alone=True):
            yield

    @contextlib.contextmanager
    def _turn(self, *, alone: bool) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(
                lambda: self._queue[0] is ticket and not self._alone and not (alone and self._inside)
            )
            self._queue.popleft()
            self._inside += 1
            self._alone = alone
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False
                self._changed.notify_all()
