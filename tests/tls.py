"""A private authority, and TLS in front of a server that has none: the Valkey of the tests."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import trustme

from console.ports import HOST


class Authority:
    """A private CA. Its files are PEM: `ca_file`, and for each `issue` one with key and certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder = folder
        self.ca_file = folder / f"{name}-ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str) -> Path:
        """Issue a certificate for a host name or an address."""
        file = self._folder / f"{self.ca_file.stem}-{name}.pem"
        self._ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(file)
        return file


@contextlib.contextmanager
def tls_in_front(port: int, certificate: Path, clients_of: Path | None = None) -> Iterator[int]:
    """Accept TLS on a port of its own and pass the bytes on; gives that port.

    Args:
        port: of the server behind, on this machine.
        certificate: shown to clients, PEM with its key.
        clients_of: the authority whose certificate every client must show; None asks for none.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients_of)
    context.verify_mode = ssl.CERT_REQUIRED if clients_of else ssl.CERT_NONE
    context.load_cert_chain(certificate)
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(context, port, started)))
    thread.start()
    own_port, loop, end = started.result(30)
    try:
        yield own_port
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


async def _serve(context: ssl.SSLContext, port: int, started: "Future[Any]") -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing: list[asyncio.Task[None]] = []
        writers = [writer]
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
            writers.append(inner_writer)
            passing = [
                asyncio.create_task(_pass_on(reader, inner_writer)),
                asyncio.create_task(_pass_on(inner_reader, writer)),
            ]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            for each in writers:
                each.transport.abort()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    end = asyncio.Event()
    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # clients that do not trust us
    started.set_result((server.sockets[0].getsockname()[1], loop, end))
    await end.wait()
    await stop_listening(server)
    open_still = asyncio.all_tasks() - {asyncio.current_task()}
    for task in open_still:
        task.cancel()
    await asyncio.gather(*open_still, return_exceptions=True)


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server, and leave no connection half accepted.

    One that is accepted when its server closes has no owner: asyncio of Python 3.11 makes its transport,
    finds the server closed, and never closes the socket. So accept nothing more, let those on their way
    reach their handler (a few turns of the loop), and close then.
    """
    for listening in server.sockets:
        server.get_loop().remove_reader(listening.fileno())
    for _ in range(5):
        await asyncio.sleep(0)
    server.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
