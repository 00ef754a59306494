"""How many bytes may be held at once, by whoever shares the budget: what does not fit waits, in order."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple, Self

URGENT_PART: Final = 4  # of a budget, one so large is for what is urgent alone


class NoRoom(Exception):
    """So many bytes do not fit now; take them first, then come again."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"no room for {size_bytes} bytes")
        self.size_bytes = size_bytes


class ByteBudget:
    """A number of bytes that threads take and give back. Nobody is overtaken by a smaller wish.

    What is larger than the whole budget waits until all is free, and then has all of it: it is never refused.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Tell how many are taken."""
        return self._held_bytes

    def take(self, size_bytes: int) -> None:
        """Wait until there is room, and take it."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._queue[0] is ticket and self._fits(size_bytes))
            self._queue.popleft()
            self._add(size_bytes)
            self._changed.notify_all()

    def try_take(self, size_bytes: int) -> bool:
        """Take it if there is room and nobody waits; else leave all as it is."""
        with self._changed:
            if self._queue or not self._fits(size_bytes):
                return False
            self._add(size_bytes)
            return True

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken, in the same portions or others."""
        if not size_bytes:
            return
        with self._changed:
            self._held_bytes -= size_bytes
            self._changed.notify_all()

    @contextmanager
    def held(self, size_bytes: int) -> Iterator[None]:
        """Take it for the length of a block."""
        self.take(size_bytes)
        try:
            yield
        finally:
            self.give_back(size_bytes)

    def _fits(self, size_bytes: int) -> bool:
        return self._held_bytes + size_bytes <= self.limit_bytes or self._held_bytes == 0

    def _add(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self._held_bytes)


class SplitBudget(NamedTuple):
    """Two budgets out of one, so that what is urgent never waits for bytes that others hold."""

    urgent: ByteBudget
    other: ByteBudget

    @classmethod
    def of(cls, limit_bytes: int) -> Self:
        """Split a number of bytes."""
        reserved = limit_bytes // URGENT_PART
        return cls(ByteBudget(reserved), ByteBudget(limit_bytes - reserved))

    def of_whom(self, *, urgent: bool) -> ByteBudget:
        """Give the one to take from, and to give back to."""
        return self.urgent if urgent else self.other


class Reservation:
    """What one read of an object holds of a budget, over all its attempts. Holds nothing at first."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._attempt = 0
        self._size_bytes = 0

    def begin(self) -> Callable[[int], None]:
        """Start an attempt; gives what admits its bytes before they are read.

        It raises NoRoom where they must not be read, and then nothing is held: they do not fit now, or it is
        late, since this attempt was given up and another began.
        """
        with self._lock:
            self._attempt += 1
            return partial(self._admit, self._attempt)

    def wait_for(self, size_bytes: int) -> None:
        """Wait for room, and hold it for the next attempt."""
        self._budget.take(size_bytes)
        with self._lock:
            self._size_bytes += size_bytes

    def keep(self) -> None:
        """End with the bytes in hand; whoever gets them gives them back."""
        with self._lock:
            self._attempt += 1

    def drop(self) -> None:
        """End with nothing in hand."""
        with self._lock:
            self._attempt += 1
            self._hold(0)

    def _admit(self, attempt: int, size_bytes: int) -> None:
        with self._lock:
            if attempt != self._attempt:
                raise NoRoom(size_bytes)
            if size_bytes > self._size_bytes:
                self._hold(0)
                if not self._budget.try_take(size_bytes):
                    raise NoRoom(size_bytes)
                self._size_bytes = size_bytes
            else:
                self._hold(size_bytes)

    def _hold(self, size_bytes: int) -> None:
        self._budget.give_back(self._size_bytes - size_bytes)
        self._size_bytes = size_bytes
