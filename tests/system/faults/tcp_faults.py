"""One TCP connection through the faulty proxy: `latency`, `reset` at a random moment, or `black_hole`."""

import asyncio
from typing import TYPE_CHECKING, Final

from tests.system.faults.http_faults import reset

if TYPE_CHECKING:
    from tests.system.faults.proxy import FaultyProxy

CHUNK_BYTES: Final = 65536


async def serve_tcp(proxy: "FaultyProxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes both ways until either side ends."""
    kind = proxy.draw()
    if kind == "black_hole":
        await reader.read()  # until the client gives up
        return
    up_reader, up_writer = await proxy.connect()
    try:
        ways = [pump(proxy, reader, up_writer, kind), pump(proxy, up_reader, writer, kind)]
        pumps = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        if kind == "reset":
            reset(writer)
    finally:
        up_writer.close()


async def pump(
    proxy: "FaultyProxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str | None
) -> None:
    """Pass on what comes; with `reset` only up to a random moment."""
    chunks = 0
    while data := await reader.read(CHUNK_BYTES):
        await proxy.flows.wait()
        chunks += 1
        if kind == "reset" and chunks > 2 and proxy.random.random() < 0.2:
            return
        if kind == "latency":
            await asyncio.sleep(proxy.latency_s)
        writer.write(data)
        await writer.drain()
