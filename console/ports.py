"""Ports on 127.0.0.1: a port found free may be taken before a server binds it, so callers retry."""

import contextlib
import secrets
import socket
from collections.abc import Mapping, Sequence

from producer.errors import TransientError

HOST = "127.0.0.1"
# Below those that kernels give to clients: else any connection may take a server's port while it restarts,
# and a client that tries again and again may at last be connected to itself.
LOWEST, HIGHEST = 10_000, 32_767
TRIES = 1000


class PortTaken(TransientError):
    """Somebody else bound a port between our finding it free and the server's binding it."""


def is_free(port: int) -> bool:
    """Tell whether a server could bind this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Tell whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def free_ports(count: int) -> list[int]:
    """Find `count` different free ports, chosen by chance.

    Raises:
        PortTaken: hardly any port is free.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for _ in range(TRIES):
            if len(found) == count:
                return found
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((HOST, LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1)))
                found.append(probe.getsockname()[1])
    raise PortTaken(f"no {count} free ports between {LOWEST} and {HIGHEST}")


def choose_ports(names: Sequence[str], kept: Mapping[str, int]) -> dict[str, int]:
    """Give each name a port: its kept one while that is free, else a new one."""
    new = free_ports(len(names))
    return {
        name: kept[name] if name in kept and is_free(kept[name]) else port
        for name, port in zip(names, new, strict=True)
    }
