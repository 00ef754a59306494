"""By HTTP, for orchestrators: `/healthz` (it lives), `/readyz` (it would answer now): 200 or 503, JSON.

`/metrics` in Prometheus's text format.
"""

import errno
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from producer.errors import ConfigurationError, NotReady
from worker.health import Health

ASKER_S: Final = 5.0  # to send its request


class HealthEndpoint:
    """A small HTTP server in threads of its own."""

    def __init__(self, health: Health, metrics: Callable[[], bytes], host: str, port: int) -> None:
        """Answer from now on.

        Raises:
            NotReady: another process still has the port.
            ConfigurationError: the address cannot be had.
        """
        answers = {"/healthz": health.alive, "/readyz": health.ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = ASKER_S
            server_version, sys_version = "shoal", ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._send(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, metrics())
                elif path in answers:
                    checks = answers[path]()
                    ok = all(check.ok for check in checks)
                    body = json.dumps({"ok": ok, "checks": [check._asdict() for check in checks]}).encode()
                    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
                    self._send(status, "application/json", body)
                else:
                    self.send_error(HTTPStatus.NOT_FOUND)

            def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: it is asked every few seconds."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            refusal = NotReady if error.errno == errno.EADDRINUSE else ConfigurationError
            raise refusal(
                f"no health endpoint at {host}:{port}: {error}. Correct SHOAL_WORKER__HEALTH_PORT or _HOST"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
