from types import SimpleNamespace

import pytest
from celery.exceptions import Reject

from worker import tasks


class Deliveries:
    def __init__(self) -> None:
        self.handled: list[str] = []

    def handle(self, name: str) -> None:
        self.handled.append(name)


def task() -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(properties={"delivery_tag": "lease-1"}))


def test_a_task_is_handled_by_its_lease_whatever_its_fields_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliveries = Deliveries()
    monkeypatch.setattr(tasks, "_deliveries", deliveries)
    tasks.classify(task(), 1, task="x", self="y")
    assert deliveries.handled == ["lease-1"]


def test_a_process_that_is_not_wired_gives_the_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_deliveries", None)
    with pytest.raises(Reject) as caught:
        tasks.classify(task())
    assert caught.value.requeue is True
