"""Two lines for one counter: what is urgent goes first, and keeps nobody waiting for ever."""

import time
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

BULK_WAITS_S: Final = 1.0  # then it has every second turn, whatever is urgent


class Waiting(Protocol):
    """What stands in line."""

    @property
    def since(self) -> float:
        """When it came, on the monotonic clock."""


T = TypeVar("T", bound=Waiting)


class TwoLines(Generic[T]):
    """What is urgent and what is not, each in the order of arrival. Not thread-safe."""

    def __init__(self) -> None:
        """Be empty."""
        self.urgent: deque[T] = deque()
        self.bulk: deque[T] = deque()
        self._was_urgent = False  # the last turn

    def __bool__(self) -> bool:
        return bool(self.urgent or self.bulk)

    def join(self, waiting: T, *, urgent: bool) -> None:
        """Stand at the end of a line."""
        (self.urgent if urgent else self.bulk).append(waiting)

    def next_line(self) -> deque[T]:
        """Give the line whose turn it is, to take from; empty if both are."""
        late = self.bulk and time.monotonic() - self.bulk[0].since > BULK_WAITS_S
        line = self.bulk if late and self._was_urgent else self.urgent or self.bulk
        self._was_urgent = line is self.urgent
        return line
