"""One HTTP connection through the faulty proxy: each request is passed on, and may suffer one fault.

A reset or an error strikes half of the time before the request is passed on (nothing was done), half of
the time after (it was done, and the client cannot know).
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from tests.system.faults.proxy import FaultyProxy

Kind = Literal[
    "latency",  # answered late
    "error_500",  # InternalError
    "error_503",  # SlowDown
    "error_400",  # of something on the way, such as a load balancer: it has no code of S3's
    "reset",  # RST, before the request is passed on, after it, or in the middle of the answer
    "cut",  # the promised length is not sent: the connection ends in the middle of the answer
    "drip",  # one byte every `drip_s`
    "error_200",  # status 200, and a body that says <Error>
    "black_hole",  # read, and never answered
]
PASSED_ON: Final = (None, "latency", "cut", "drip")
UNCLEAR: Final = ("error_500", "error_503", "reset")  # the server has done it, or not
ERRORS: Final[dict[str, tuple[str, str | None]]] = {
    "error_500": ("500 Internal Server Error", "InternalError"),
    "error_503": ("503 Slow Down", "SlowDown"),
    "error_400": ("400 Bad Request", None),
    "error_200": ("200 OK", "InternalError"),
}


@dataclass
class Head:
    """Start line and headers; names in lower case, order kept."""

    start: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)

    def drop(self, *names: str) -> None:
        self.headers = [(name, value) for name, value in self.headers if name not in names]

    def to_bytes(self) -> bytes:
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Upstream:
    """The connection to the server behind, opened when it is needed."""

    def __init__(self, proxy: "FaultyProxy") -> None:
        self._proxy = proxy
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: Head, body: bytes) -> tuple[Head, bytes]:
        """Pass a request on; gives the answer, an empty one if the server has gone."""
        if self._streams is None:
            self._streams = await self._proxy.connect()
        reader, writer = self._streams
        writer.write(head.to_bytes() + body)
        answer = await read_head(reader) or Head("", [])
        return answer, await read_body(reader, answer, head.start)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()  # what is left unsent has nobody who waits for it


async def serve_http(
    proxy: "FaultyProxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one client's connection until it ends, or a fault ends it."""
    upstream = Upstream(proxy)
    try:
        while head := await read_head(reader):
            if (head.get("expect") or "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                head.drop("expect")
            body = await read_body(reader, head)
            await proxy.flows.wait()
            with proxy.one_in_hand():
                goes_on = await exchange(proxy, reader, writer, head, body, upstream)
            if not goes_on:
                return
    finally:
        upstream.close()


async def exchange(
    proxy: "FaultyProxy",
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: Head,
    body: bytes,
    upstream: Upstream,
) -> bool:
    """Serve one request; tells whether the connection goes on."""
    kind = proxy.draw()
    if kind == "black_hole":
        await reader.read()  # until the client gives up
        return False
    if kind == "latency":
        await asyncio.sleep(proxy.latency_s)
    answer, answer_body = Head("", []), b""
    if kind in PASSED_ON or (kind in UNCLEAR and proxy.random.random() < 0.5):
        proxy.rewrite(head)
        answer, answer_body = await upstream.ask(head, body)
        await proxy.flows.wait()
    return await respond(proxy, writer, kind, answer, answer_body)


async def respond(
    proxy: "FaultyProxy", writer: asyncio.StreamWriter, kind: str | None, answer: Head, body: bytes
) -> bool:
    """Answer the client as the fault has it; tells whether the connection goes on."""
    if kind is not None and kind in ERRORS:
        writer.write(error(kind))
        await writer.drain()
        return True
    head = answer.to_bytes() if answer.start else b""
    whole = head + body
    if kind is None or kind == "latency":
        writer.write(whole)
        await writer.drain()
        return bool(answer.start)  # without one, the server has gone
    if kind == "drip":
        if body:
            writer.write(head)
        for at in range(len(head) if body else 0, len(whole)):
            writer.write(whole[at : at + 1])
            await writer.drain()
            await asyncio.sleep(proxy.drip_s)
        return True
    if whole:  # in the middle of the body, or of the head
        first = len(head) if body and proxy.random.random() < 0.5 else 1
        writer.write(whole[: proxy.random.randrange(first, len(whole))])
        await writer.drain()
        await asyncio.sleep(0.01)  # else the RST overtakes it
    if kind == "reset":
        reset(writer)
    return False


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST: what is on its way is lost."""
    with contextlib.suppress(OSError):  # the other side may have ended it already
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    writer.transport.abort()


def error(kind: str) -> bytes:
    status, code = ERRORS[kind]
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        "<Message>We encountered an internal error. Please try again.</Message></Error>"
    )
    body, content = (xml, "application/xml") if code else (f"<h1>{status}</h1>", "text/html")
    head = Head(f"HTTP/1.1 {status}", [("content-type", content), ("content-length", str(len(body)))])
    return head.to_bytes() + body.encode()


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read up to the empty line; None where the connection has ended."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = text.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(start, [(name.strip().lower(), value.strip()) for name, _, value in pairs])


async def read_body(reader: asyncio.StreamReader, head: Head, request: str = "") -> bytes:
    """Read a message's body; for an answer, `request` is the start line of what it answers."""
    if request.startswith("HEAD ") or not head.start:
        return b""
    if (head.get("transfer-encoding") or "").lower() != "chunked":
        return await reader.readexactly(int(head.get("content-length") or 0))
    chunks = []
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        chunks += [line, await reader.readexactly(size + 2)]  # as it came, framing included
    return b"".join(chunks)
