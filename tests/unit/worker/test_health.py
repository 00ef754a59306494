import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from producer.contracts import ModelStamp
from producer.errors import ConfigurationError, NotReady, StoreUnavailable
from worker import health as health_module
from worker.health import Health
from worker.health_endpoint import HealthEndpoint
from worker.progress import Progress

STAMP = ModelStamp(version="v1", sha256="0", generation=1)
OF_NOBODY = "192.0.2.1"  # RFC 5737: in documents only


class Worker:
    """What health asks: all well at first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.progress = Progress(lambda: self.now)
        self.models = {"default": STAMP}
        self.state = "ready"
        self.store_up = True
        self.asked = 0

    def waiting(self) -> int:
        self.asked += 1
        return 0

    def store_answers(self) -> None:
        if not self.store_up:
            raise StoreUnavailable("no store")

    def model_awaited(self) -> bool:
        return not self.models


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(health_module, "KEPT_S", -1.0)
    return Worker()


@pytest.fixture
def endpoint(worker: Worker) -> Iterator[HealthEndpoint]:
    health = Health(worker, worker.progress, lambda: worker.models, lambda: worker.state, 60)
    with contextlib.closing(HealthEndpoint(health, lambda: b"figures 1\n", "127.0.0.1", 0)) as running:
        yield running


def ask(endpoint: HealthEndpoint, path: str) -> tuple[int, Any]:
    with contextlib.closing(
        http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=20)
    ) as wire:
        wire.request("GET", path)
        with wire.getresponse() as answer:
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith(b"{") else None


def failing(endpoint: HealthEndpoint, path: str) -> list[str]:
    status, answer = ask(endpoint, path)
    names = [check["name"] for check in answer["checks"] if not check["ok"]]
    assert status == (503 if names else 200)
    assert answer["ok"] is not bool(names)
    return names


def test_a_worker_that_is_well_is_alive_and_ready(endpoint: HealthEndpoint) -> None:
    assert failing(endpoint, "/healthz") == []
    assert failing(endpoint, "/readyz") == []
    assert ask(endpoint, "/elsewhere")[0] == 404
    assert ask(endpoint, "/metrics?all")[0] == 200


def test_a_store_that_is_away_leaves_it_alive_and_not_ready(worker: Worker, endpoint: HealthEndpoint) -> None:
    worker.store_up = False
    assert failing(endpoint, "/healthz") == []
    assert failing(endpoint, "/readyz") == ["store"]


def test_it_is_not_ready_without_a_model_or_while_it_drains(worker: Worker, endpoint: HealthEndpoint) -> None:
    worker.models = {}
    worker.state = "draining"
    assert failing(endpoint, "/readyz") == ["model", "state"]


def test_a_message_that_hangs_makes_it_neither(worker: Worker, endpoint: HealthEndpoint) -> None:
    worker.progress.taken("stuck")
    worker.now = 61
    assert failing(endpoint, "/healthz") == ["last progress"]
    assert failing(endpoint, "/readyz") == ["last progress"]


def test_many_who_ask_cost_the_servers_one_question(
    worker: Worker, endpoint: HealthEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "KEPT_S", 1000.0)
    for _ in range(5):
        ask(endpoint, "/readyz")
    assert worker.asked <= 1


def test_a_taken_port_may_be_free_later_and_an_address_of_elsewhere_never_is_ours(worker: Worker) -> None:
    health = Health(worker, worker.progress, lambda: worker.models, lambda: worker.state, 60)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NotReady, match="HEALTH_PORT"):
        HealthEndpoint(health, lambda: b"figures 1\n", "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigurationError, match="HEALTH_PORT or _HOST"):
        HealthEndpoint(health, lambda: b"figures 1\n", OF_NOBODY, 0)
