"""A faulty proxy in front of one server: S3 by default, any TCP (such as Valkey's) with `http=False`.

It runs in a thread of its own, on a port of 127.0.0.1. Faults are switched while it runs:

    with FaultyProxy(s3_port, seed=1) as proxy:
        proxy.inject(error_503=0.1, reset=0.01)   # each with its probability per request
        proxy.away_for(8)                         # connections refused, those that exist are reset
        proxy.partition()                         # packets vanish both ways, until heal()
        proxy.counts["reset"]                     # how often it did what

Kinds per request of HTTP: those of `http_faults.Kind`. Per connection of plain TCP: those of
`tcp_faults`. One request suffers one fault at most, drawn from a seeded generator.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tests.system.faults.http_faults import Head, reset, serve_http
from tests.system.faults.tcp_faults import serve_tcp
from tests.tls import stop_listening

HOST: Final = "127.0.0.1"
T = TypeVar("T")


class FaultyProxy:
    """The proxy: `port` is where clients go, `counts` what it did, `rewrite` changes what it passes on."""

    def __init__(
        self,
        upstream_port: int,
        *,
        http: bool = True,
        host: str = HOST,
        seed: int = 0,
        latency_s: float = 0.2,
        drip_s: float = 0.5,
        rewrite: Callable[[Head], None] = lambda _: None,
    ) -> None:
        self.upstream_port, self.host = upstream_port, host
        self.latency_s, self.drip_s = latency_s, drip_s
        self.rewrite = rewrite
        self.random = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.counts: Counter[str] = Counter()
        self._serve = serve_http if http else serve_tcp
        self._shares: dict[str, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.flows = asyncio.Event()
        self.flows.set()
        self.port = 0
        self.in_hand, self.peak = 0, 0  # requests of HTTP, and the most at once

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def inject(self, **shares: float) -> None:
        """Set the probability of each kind of fault; those not named stop."""
        assert sum(shares.values()) <= 1
        self._shares = shares

    def draw(self) -> str | None:
        """Draw what happens to a request, and count it."""
        self.counts["requests"] += 1
        point = self.random.random()
        for kind, share in self._shares.items():
            point -= share
            if point < 0:
                self.counts[kind] += 1
                return kind
        return None

    @contextlib.contextmanager
    def one_in_hand(self) -> Iterator[None]:
        self.in_hand += 1
        self.peak = max(self.peak, self.in_hand)
        try:
            yield
        finally:
            self.in_hand -= 1

    def away(self) -> None:
        """Refuse connections, and reset those that exist, until `back`."""
        self.counts["away"] += 1
        self._call(self._refuse())

    def back(self) -> None:
        self._call(self._listen())

    def away_for(self, seconds: float) -> None:
        """Be away for a while; returns at once."""
        self.away()
        self._loop.call_soon_threadsafe(
            self._loop.call_later, seconds, lambda: self._loop.create_task(self._listen())
        )

    def partition(self) -> None:
        """Let nothing through either way, though connections stand and new ones seem to open."""
        self.counts["partition"] += 1
        self._loop.call_soon_threadsafe(self.flows.clear)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self.flows.set)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the server behind."""
        return await asyncio.open_connection(HOST, self.upstream_port)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port, backlog=512)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            await stop_listening(self._server)
            self._server = None
        for task, writer in list(self._connections.items()):
            reset(writer)
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            # either side may vanish at any time; that is what we are for
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._serve(self, reader, writer)
        finally:
            writer.close()
            del self._connections[task]
