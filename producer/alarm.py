"""Makes Celery's loop do at once what other threads ask of it.

A thread that has done a message has the loop acknowledge it, by `call_soon`. kombu's loop would see that only
when something comes from Redis, or a timer is due: up to a second later, if all it may take is taken.
"""

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous import Hub


class Alarm:
    """A pair of sockets: the loop listens to one; `call_soon` writes to the other, from any thread."""

    def __init__(self, loop: "Hub") -> None:
        """Stand before the loop's own `call_soon`; see `of`."""
        self._call_soon = loop.call_soon
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)
        loop.call_soon = self.call_soon  # type: ignore[method-assign]

    @classmethod
    def of(cls, loop: "Hub") -> Self:
        """Give a loop its alarm, and let it listen: after the loss of a connection it listens to nothing."""
        present = getattr(loop.call_soon, "__self__", None)
        alarm = present if isinstance(present, cls) else cls(loop)
        alarm.listen(loop)
        return alarm

    def listen(self, loop: "Hub") -> None:
        """Let the loop listen."""
        loop.add_reader(self._heard.fileno(), self._hear)

    def close(self) -> None:
        """Let go of both sockets."""
        self._heard.close()
        self._rung.close()

    def call_soon(self, callback: "Callable[..., object]", *arguments: object) -> Any:  # noqa: ANN401 - kombu's
        """Have the loop call, and wake it."""
        promise = self._call_soon(callback, *arguments)  # type: ignore[no-untyped-call]
        with contextlib.suppress(BlockingIOError):  # it has been rung often enough
            self._rung.send(b"!")
        return promise

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096)
