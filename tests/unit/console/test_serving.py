import io
from typing import Any

import pytest

from console import serving
from console.serving import Serving, wait_until_served
from model_store.registry import Alias
from producer.settings import BrokerSettings

ALIAS = Alias(version="v1", sha256="0", generation=3)


def record(name: str, generation: int | None, **more: Any) -> dict[str, Any]:
    models = {} if generation is None else {"cats": {"generation": generation}}
    return {"worker": name, "models": models, **more}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """What the workers tell, look by look; the last look stays."""
    looks: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(serving, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(serving, "redis_client", lambda _: io.BytesIO())  # all that is asked of it is `close`
    monkeypatch.setattr(serving, "workers", lambda *_: looks.pop(0) if len(looks) > 1 else looks[0])
    return looks


def wait(patience_s: float = 60) -> list[Serving]:
    return wait_until_served(BrokerSettings(), ALIAS, "cats", patience_s)


def test_it_waits_until_every_worker_of_the_collection_serves_it(told: list[list[dict[str, Any]]]) -> None:
    told += [
        [record("a", 2), record("b", 2), record("idle", None)],
        [record("a", 3), record("b", 2)],
        [record("a", 3), record("b", 4)],
    ]
    assert wait() == [Serving("a", True, 3), Serving("b", True, 4)]


def test_a_worker_that_dies_is_not_waited_for(told: list[list[dict[str, Any]]]) -> None:
    told += [[record("a", 3), record("b", 2)], [record("a", 3)]]
    assert wait() == [Serving("a", True, 3)]


def test_a_worker_that_refuses_it_is_shown_with_its_reason(told: list[list[dict[str, Any]]]) -> None:
    refusal = {"cats": {"total": 1, "generation": 3, "reason": "pca.safetensors is broken"}}
    told += [[record("a", 2, refused=refusal)]]
    assert wait() == [Serving("a", False, 2, "pca.safetensors is broken")]


def test_an_earlier_refusal_does_not_count(told: list[list[dict[str, Any]]]) -> None:
    past = {"cats": {"total": 1, "generation": 2, "reason": "x"}}
    told += [[record("a", 1, refused=past)], [record("a", 3, refused=past)]]
    assert wait() == [Serving("a", True, 3)]


def test_when_patience_runs_out_it_says_who_has_it_not(told: list[list[dict[str, Any]]]) -> None:
    told += [[record("a", 3), record("b", 2)]]
    assert wait(0.0) == [Serving("a", True, 3), Serving("b", False, 2)]
