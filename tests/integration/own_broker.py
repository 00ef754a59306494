import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import redis

from console.ports import choose_ports
from console.server import Server
from console.valkey import broker_url, valkey_config, valkey_server
from producer.broker import CLASSIFY
from producer.envelope import Letter, read


class Broker(NamedTuple):
    """A Valkey that a test may stop, kill and fill."""

    url: str
    server: Server

    def image_ids(self) -> list[str]:
        return [
            image["image_id"] for letter in self.letters("interactive") for image in letter.fields["images"]
        ]

    def letters(self, lane: str) -> list[Letter]:
        """What waits in a lane, oldest first."""
        with self.client() as client:
            return [read(str(raw).encode(), (CLASSIFY,)) for raw in reversed(client.lrange(lane, 0, -1))]

    @contextlib.contextmanager
    def client(self) -> "Iterator[redis.Redis]":
        with contextlib.closing(redis.Redis.from_url(self.url, decode_responses=True)) as client:
            yield client

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)


@contextlib.contextmanager
def own_broker(folder: Path) -> Iterator[Broker]:
    """Run one until the block is left."""
    port = choose_ports(("valkey.port",), {})["valkey.port"]
    url = broker_url(port, "secret")
    config = folder / "valkey.conf"
    config.write_text(valkey_config(port, "secret", fsync=True))
    server = valkey_server(folder, folder / "valkey.log", url, config)
    server.start()
    server.wait_ready()
    try:
        yield Broker(url, server)
    finally:
        server.stop()
