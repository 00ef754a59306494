import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject
from pydantic import SecretStr

from model_store.dead_letters import DeadLetters
from model_store.object_store import MemoryStore
from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages
from producer.errors import AccessDenied, NoChampion, PreconditionFailed, StoreUnavailable
from producer.signing import Keyring
from producer.ulid import new_ulid
from worker import tasks
from worker.settings import WorkerSettings

FIELDS = {"images": [{"image_id": "a", "bucket": "uploads", "key": "a.png"}]}


class Again(Exception):
    """What Celery's retry gives to be raised."""


class Task:
    """Celery's task as the code sees it: the request, and retry."""

    def __init__(self, retries: int = 0, *, broker_up: bool = True) -> None:
        self.request = SimpleNamespace(id="task-1", retries=retries, delivery_info={"routing_key": "bulk"})
        self.countdowns: list[float] = []
        self.sent: tuple[str, Any] = ("", None)
        self._broker_up = broker_up

    def retry(self, *, kwargs: Any, exc: Exception, countdown: float, queue: str, throw: bool) -> Exception:
        assert not throw
        self.sent = (queue, kwargs)
        if not self._broker_up:
            raise Reject(exc, requeue=False)
        self.countdowns.append(countdown)
        return Again(f"attempt {self.request.retries + 1}")


class Classifier:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.done: list[ClassifyImages] = []
        self.failed: list[str] = []
        self.cannot_write: Exception | None = None

    def classify(self, message: ClassifyImages, attempt: int) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(message)

    def fail(self, message: ClassifyImages, attempt: int, detail: str) -> None:
        if self.cannot_write is not None:
            raise self.cannot_write
        self.failed.append(detail)


class Wired:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.classifier = Classifier()
        self.settings = SimpleNamespace(worker=WorkerSettings())
        self.keyring = Keyring()
        self.queues = {"interactive", "bulk"}

    def dead_letters(self, collection: str) -> DeadLetters:
        return DeadLetters(self.store, collection)


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Wired:
    context = Wired()
    monkeypatch.setattr(tasks, "_context", context)
    return context


def run(task: Task, *args: Any, **fields: Any) -> None:
    tasks.classify(task, *args, **fields)


def test_a_good_message_is_classified_once(wired: Wired) -> None:
    run(Task(), **FIELDS)
    assert [message.images[0].image_id for message in wired.classifier.done] == ["a"]


def test_without_a_model_the_message_goes_to_the_end_of_the_queue_and_no_attempt_is_counted(
    wired: Wired,
) -> None:
    wired.classifier.error = NoChampion("none yet")
    task = Task(retries=2)
    with pytest.raises(Again, match="attempt 2"):
        run(task, **FIELDS)
    assert task.countdowns == [0.0]


def test_what_may_pass_is_tried_again_later_each_time(wired: Wired) -> None:
    wired.classifier.error = StoreUnavailable("away")
    pauses = []
    for retries in range(12):
        task = Task(retries)
        with pytest.raises(Again):
            run(task, **FIELDS)
        pauses += task.countdowns
    assert 0.5 <= pauses[0] <= 1
    assert 8 <= pauses[4] <= 16
    assert max(pauses) <= 30


def test_a_retry_that_cannot_be_published_requeues_the_message_in_hand(wired: Wired) -> None:
    wired.classifier.error = StoreUnavailable("away")
    with pytest.raises(Reject) as caught:
        run(Task(broker_up=False), **FIELDS)
    assert caught.value.requeue is True


def test_an_unforeseen_error_is_tried_again_and_in_the_end_every_picture_fails_visibly(wired: Wired) -> None:
    wired.classifier.error = ZeroDivisionError("bug")
    with pytest.raises(Again):
        run(Task(retries=6), **FIELDS)
    assert wired.classifier.failed == []
    run(Task(retries=19), **FIELDS)
    assert wired.classifier.failed == ["ZeroDivisionError in the worker"]


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        ((), {}),
        ((), {"images": []}),
        ((), {"images": "x"}),
        (({"images": []},), {}),
        ((), {**FIELDS, "schema_version": 2}),
    ],
)
def test_a_message_that_breaks_the_contract_is_kept_as_it_came(
    wired: Wired, args: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    run(Task(), *args, **fields)
    (letter,) = wired.store.list("default/dead/")
    assert b"task-1" in wired.store.get(letter.key).data
    assert wired.classifier.done == []


def test_where_there_are_keys_only_what_is_signed_is_done(wired: Wired) -> None:
    wired.keyring = Keyring([SecretStr("k:" + "x" * 32)])
    signed = wired.keyring.sign(CLASSIFY, {**FIELDS, "message_id": new_ulid()})
    without_id = wired.keyring.sign(CLASSIFY, FIELDS)  # the worker would add another at each delivery
    tampered = {**signed, "collection": "other"}

    for fields in (FIELDS, tampered, without_id, signed):
        run(Task(), **fields)

    assert [message.message_id for message in wired.classifier.done] == [signed["message_id"]]
    letters = [json.loads(wired.store.get(info.key).data) for info in wired.store.list("default/dead/")]
    assert sorted("not signed" in letter["error"] for letter in letters) == [False, False, True]


@pytest.mark.parametrize(
    "error", [AccessDenied("no"), PreconditionFailed("kept changing"), RuntimeError("bug")]
)
def test_a_message_whose_failure_cannot_be_stored_is_never_given_up(wired: Wired, error: Exception) -> None:
    wired.classifier.error = wired.classifier.cannot_write = error
    with pytest.raises(Again):
        run(Task(retries=100), **FIELDS)


def test_a_dead_letter_that_cannot_be_stored_is_tried_again(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AccessDenied("no")

    monkeypatch.setattr(wired.store, "put", refuse)
    with pytest.raises(Again):
        run(Task(), images="broken")


def test_a_retry_goes_back_to_its_own_queue_and_keeps_its_message_id(wired: Wired) -> None:
    wired.classifier.error = StoreUnavailable("away")
    for routing_key, queue in (("bulk", "bulk"), ("nowhere", "interactive")):
        task = Task()
        task.request.delivery_info = {"routing_key": routing_key}
        with pytest.raises(Again):
            run(task, **FIELDS)
        assert task.sent[0] == queue
        assert len(task.sent[1]["message_id"]) == 26


def test_null_retries_of_a_foreign_client_count_as_none(wired: Wired) -> None:
    task = Task()
    task.request.retries = None
    run(task, **FIELDS)
    assert len(wired.classifier.done) == 1


def test_a_process_that_is_not_wired_gives_the_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_context", None)
    with pytest.raises(Reject) as caught:
        run(Task(), **FIELDS)
    assert caught.value.requeue is True
