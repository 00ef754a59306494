"""The proxy of the fault tests itself."""

import contextlib
import gc
import socket
import threading

from tests.system.faults.proxy import HOST, FaultyProxy


def test_going_away_amid_new_connections_leaves_none_half_accepted() -> None:
    over = threading.Event()
    with socket.create_server((HOST, 0)) as behind, FaultyProxy(behind.getsockname()[1]) as proxy:

        def keep_connecting() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):  # it is away
                    socket.create_connection((HOST, proxy.port), timeout=5).close()

        client = threading.Thread(target=keep_connecting)
        client.start()
        for _ in range(30):
            over.wait(0.01)
            proxy.away()
            proxy.back()
        over.set()
        client.join()
    gc.collect()  # a socket that nobody closed warns here, and a warning fails the test
