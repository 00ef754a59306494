"""Wakes an event loop that waits for its sockets, from another thread."""

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu.asynchronous import Hub


class Alarm:
    """A pair of sockets: the loop listens to one, whoever wakes it writes to the other. Thread-safe."""

    def __init__(self, loop: "Hub") -> None:
        """Let the loop listen."""
        self._loop = loop
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)
        loop.add_reader(self._heard.fileno(), self._hear)

    def ring(self) -> None:
        """Make the loop go on; does nothing once closed."""
        with contextlib.suppress(OSError):  # full: it has been rung often enough; closed: nobody listens
            self._rung.send(b"!")

    def close(self) -> None:
        """Let go of both."""
        self._loop.remove_reader(self._heard.fileno())
        self._heard.close()
        self._rung.close()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._heard.recv(4096)
