"""What becomes of a message, with leases and attempts on a real Valkey."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from model_store.dead_letters import DeadLetter, DeadLetters
from model_store.object_store import MemoryStore
from producer.broker import CLASSIFY, redis_client
from producer.contracts import ClassifyImages, ErrorCode, ImageRef
from producer.envelope import Letter, Unreadable, envelope, read
from producer.errors import AccessDenied, NoChampion, StoreUnavailable
from producer.leases import DUE, Lease, Leases
from producer.settings import BrokerSettings
from producer.signing import Keyring
from worker.attempts import PREFIX, Attempts
from worker.deliveries import Deliveries
from worker.settings import WorkerSettings


class WorkerDied(BaseException):
    """Stands for SIGKILL: nobody catches it, nothing is cleaned up."""


class Classifier:
    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.poison: str | None = None
        self.done: list[ClassifyImages] = []
        self.attempts: list[int] = []
        self.failed: list[tuple[str, ErrorCode]] = []
        self.failing: list[ImageRef] = []

    def classify(self, message: ClassifyImages, attempt: int) -> list[ImageRef]:
        self.attempts.append(attempt)
        if self.poison in {ref.image_id for ref in message.images}:
            raise WorkerDied
        if self.error is not None:
            raise self.error
        self.done.append(message)
        return self.failing

    def fail(self, message: ClassifyImages, attempt: int, code: ErrorCode, detail: str) -> None:
        self.failed += [(ref.image_id, code) for ref in message.images]


class Office:
    """A worker's deliveries without Celery: takes a message and handles it."""

    def __init__(self, broker: BrokerSettings, client: "redis.Redis", *keys: SecretStr) -> None:
        self.client = client
        self.classifier = Classifier()
        self.store = MemoryStore()
        self.leases = Leases(redis_client(broker, text=False), 60)
        self.attempts = Attempts(redis_client(broker, text=False))
        self.deliveries = Deliveries(
            leases=self.leases,
            attempts=self.attempts,
            classifier=self.classifier,
            dead_letters=lambda name: DeadLetters(self.store, name),
            settings=WorkerSettings(),
            keyring=Keyring(keys),
        )

    def put(self, fields: dict[str, Any], **options: Any) -> None:
        self.client.lpush("bulk", envelope(CLASSIFY, "task-1", fields, **options))

    def handle(self) -> bool:
        """Take and handle the next message, if one waits; a death leaves its lease to run out."""
        name = self.leases.new_name()
        answer = self.client.execute_command(*self.leases.reserve_command(name, ["bulk"]))  # type: ignore[no-untyped-call]
        if not answer:
            return False
        letter: Letter | Unreadable
        try:
            letter = read(answer[1], [CLASSIFY])
        except Unreadable as error:
            letter = error
        self.leases.hold(Lease(name, "bulk", answer[1], letter))
        try:
            self.deliveries.handle(name)
        except WorkerDied:
            self.leases.give_back(name)  # as when its lease runs out
        return True

    def dead(self, collection: str = "default") -> list[DeadLetter]:
        return list(DeadLetters(self.store, collection).list())

    def pause_s(self) -> float:
        """How far ahead the one message given back is due."""
        ((_, due_ms),) = self.client.zrange(DUE, 0, -1, withscores=True)  # type: ignore[str-unpack]
        return float(due_ms) / 1000 - self.client.time()[0]

    def nothing_left(self) -> bool:
        return self.client.keys() == []


@pytest.fixture
def office(lease_broker: BrokerSettings, lease_client: "redis.Redis") -> Iterator[Office]:
    office = Office(lease_broker, lease_client)
    with closing(office.leases):
        yield office


def fields(*names: str, **more: Any) -> dict[str, Any]:
    return {"images": [{"image_id": n, "bucket": "uploads", "key": n} for n in names or ("a",)], **more}


def test_a_good_message_is_done_once_and_leaves_nothing_in_redis(office: Office) -> None:
    office.put(fields("a", "b"))
    assert office.handle()
    assert [len(message.images) for message in office.classifier.done] == [2]
    assert office.nothing_left()


def test_without_a_model_the_message_waits_a_moment_and_no_attempt_is_counted(office: Office) -> None:
    office.classifier.error = NoChampion("none yet")
    office.put(fields())
    office.handle()
    assert -1 < office.pause_s() < 4
    assert office.attempts.begin("task-1", "x").number == 1


def test_what_may_pass_is_tried_again_after_growing_pauses_with_one_message_id(office: Office) -> None:
    office.classifier.error = StoreUnavailable("away")
    office.put(fields())
    pauses = []
    for _ in range(7):
        office.handle()
        pauses.append(office.pause_s())
        due_now(office)
    office.classifier.error = None
    office.handle()
    assert office.classifier.attempts == list(range(1, 9))
    assert pauses[0] < 2 < pauses[4] <= 17
    assert max(pauses) < 32
    assert len(office.classifier.done) == 1
    assert office.nothing_left()


def test_a_bug_is_tried_again_and_in_the_end_its_pictures_fail_visibly_and_are_kept(office: Office) -> None:
    office.classifier.error = ZeroDivisionError("bug")
    office.put(fields("a", "b", collection="cats"))
    for _ in range(WorkerSettings().max_attempts):
        office.handle()
        due_now(office)
    assert office.classifier.failed == [("a", "internal"), ("b", "internal")]
    (letter,) = office.dead("cats")
    assert letter.history[0] == "ZeroDivisionError: bug"
    assert office.nothing_left()


def test_pictures_that_fail_for_good_are_kept_without_their_neighbours(office: Office) -> None:
    message = ClassifyImages.model_validate(fields("a", "b", "c"))
    office.classifier.failing = [message.images[1]]
    office.put(fields("a", "b", "c"))
    office.handle()
    (letter,) = office.dead()
    assert letter.message is not None
    assert [image["image_id"] for image in letter.message["images"]] == ["b"]
    assert office.nothing_left()


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"images": []},
        {"images": "x"},
        {**fields(), "schema_version": 2},
        {"images": [{"image_id": "a", "bucket": "u", "key": "k", "etag": "\n"}]},
    ],
)
def test_a_message_that_breaks_the_contract_is_kept_as_it_came_and_not_tried(
    office: Office, broken: dict[str, Any]
) -> None:
    office.put(broken)
    office.handle()
    (letter,) = office.dead()
    assert letter.message == {"task_id": "task-1", "args": [], "kwargs": broken}
    assert "breaks the contract" in letter.error
    assert office.classifier.attempts == []
    assert office.nothing_left()


@pytest.mark.parametrize("raw", [b"x", b"\xff" * 200_000, b'{"body": 1}'])
def test_what_cannot_be_read_is_kept_byte_for_byte(office: Office, raw: bytes) -> None:
    office.client.lpush("bulk", raw)
    office.handle()
    (letter,) = office.dead()
    assert DeadLetters(office.store, "default").raw(letter.id) == raw
    assert letter.queue == "bulk"
    assert office.nothing_left()


def test_fields_nested_as_deep_as_can_be_read_are_kept(office: Office) -> None:
    for depth in (900, 985, 990, 995, 1000, 5000):
        body = json.dumps([[], {"images": "@"}, {}]).replace('"@"', "[" * depth + "]" * depth)
        whole = json.loads(envelope(CLASSIFY, "task-1", {}))
        office.client.lpush("bulk", json.dumps({**whole, "body": body, "properties": {}}))
        office.handle()
    assert len(office.dead()) == 6
    assert office.nothing_left()


def test_a_dead_letter_that_cannot_be_stored_is_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AccessDenied("no")

    office.client.lpush("bulk", "x")
    with monkeypatch.context() as patch:
        patch.setattr(office.store, "put", refuse)
        office.handle()
    due_now(office)
    office.handle()
    assert len(office.dead()) == 1
    assert office.nothing_left()


def test_an_expired_message_fails_and_says_so(office: Office) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    office.put(fields("a", expires_at=past.isoformat()))
    office.put(fields("b", expires_at=past.replace(tzinfo=None).isoformat()))
    office.put(fields("c", expires_at=(past + timedelta(hours=1)).isoformat()))
    while office.handle():
        pass
    assert office.classifier.failed == [("a", "message.expired"), ("b", "message.expired")]
    assert [message.images[0].image_id for message in office.classifier.done] == ["c"]


def test_two_deaths_are_survived(office: Office) -> None:
    office.put(fields("a", "bad"))
    office.classifier.poison = "bad"
    office.handle()
    office.handle()
    office.classifier.poison = None
    office.handle()
    assert office.classifier.attempts == [1, 2, 3]
    assert [len(message.images) for message in office.classifier.done] == [2]
    assert office.nothing_left()


@pytest.mark.parametrize("position", [0, 100, 255])
def test_a_picture_that_kills_workers_is_found_and_its_255_neighbours_are_done(
    office: Office, position: int
) -> None:
    names = [f"img-{i}" for i in range(256)]
    office.classifier.poison = names[position]
    office.put(fields(*names, collection="cats"))
    while office.handle():
        pass
    done = [ref.image_id for message in office.classifier.done for ref in message.images]
    assert sorted(done) == sorted(set(names) - {names[position]})
    assert office.classifier.failed == [(names[position], "internal")]
    (letter,) = office.dead("cats")
    assert letter.history.count("a worker died of it") >= 1
    deaths = len(office.classifier.attempts) - len(office.classifier.done)
    assert deaths <= 11
    assert office.nothing_left()


def test_a_message_of_one_picture_gets_three_tries(office: Office) -> None:
    office.classifier.poison = "bad"
    office.put(fields("bad"))
    while office.handle():
        pass
    assert office.classifier.attempts == [1, 2, 3]
    assert office.classifier.failed == [("bad", "internal")]


def test_a_lease_that_ran_out_before_work_began_is_left_to_others(office: Office) -> None:
    office.deliveries.handle("of-nobody")
    assert office.classifier.attempts == []


def test_a_record_forgets_what_is_done_and_keeps_the_last_lines(office: Office) -> None:
    for number in range(30):
        attempt = office.attempts.begin("t", f"id-{number}")
        assert (attempt.message_id, attempt.failures, attempt.deaths) == ("id-0", number, 0)
        office.attempts.failed("t", f"reason\n {number}")
    assert office.attempts.begin("t", "x").history[:2] == ("reason 0", "reason 1")
    assert len(office.client.keys(PREFIX + "*")) == 1
    office.attempts.done("t")
    assert office.attempts.begin("t", "new").message_id == "new"


def due_now(office: Office) -> None:
    """End the pauses of all that was given back."""
    for lease in office.client.zrange(DUE, 0, -1):
        office.client.zadd(DUE, {lease: 0})  # type: ignore[type-var]
    office.leases.keep()


def test_together_and_alone_are_decided_by_deaths(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[str] = []

    def noted(way: str) -> Callable[[], Any]:
        enter = getattr(office.deliveries._turnstile, way)

        def inside() -> Any:
            ways.append(way)
            return enter()

        return inside

    for way in ("together", "alone"):
        monkeypatch.setattr(office.deliveries._turnstile, way, noted(way))
    office.put(fields("a"))
    office.put(fields("b"), split="whole")
    while office.handle():
        pass
    assert ways == ["together", "alone"]
