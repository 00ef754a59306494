"""A network namespace on a wire of its own, to be cut: packets vanish, as in a partition. It takes root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class Namespace:
    """Commands begun with `prefix` run inside, and reach us at `our_address` only."""

    name: str
    wire: str
    our_address: str

    @property
    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        ip("link", "set", self.wire, "down")

    def heal(self) -> None:
        ip("link", "set", self.wire, "up")


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Make one; skips the test where that takes what we have not: root, iproute2, the kernel's leave."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network namespace takes root and iproute2")
    number = os.getpid() % 65536
    ours, theirs = (f"10.{200 + number % 50}.{number // 256}.{last}" for last in (1, 2))
    made = Namespace(f"shoal-{number}", f"shoal{number}", ours)
    with contextlib.ExitStack() as undo:
        try:
            ip("netns", "add", made.name)
            undo.callback(ip, "netns", "del", made.name)  # takes the wire with it
            ip("link", "add", made.wire, "type", "veth", "peer", "name", "inside", "netns", made.name)
            ip("addr", "add", f"{ours}/30", "dev", made.wire)
            ip("link", "set", made.wire, "up")
            for step in (
                ("link", "set", "lo", "up"),
                ("addr", "add", f"{theirs}/30", "dev", "inside"),
                ("link", "set", "inside", "up"),
            ):
                ip("-n", made.name, *step)
        except OSError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no network namespace here: {error}")
        yield made
