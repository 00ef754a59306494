"""Many at once, or one alone: whoever is suspected of killing workers must take nobody along."""

import contextlib
import threading
from collections.abc import Iterator


class Turnstile:
    """Lets any number through together, or one alone. Whoever wants to be alone is next: no newcomers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._wanting = 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with others; waits while somebody is, or wants to be, alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._wanting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else; waits until all have left."""
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._alone and not self._inside)
            self._wanting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
