"""What becomes of a message, with leases and attempts on a real Valkey."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from model_store.dead_letters import DeadLetters
from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages
from producer.envelope import Unreadable, envelope
from producer.errors import AccessDenied, NoChampion, StoreUnavailable
from producer.leases import DUE, Lease
from tests.integration.office import Office, due_now, fields
from worker.attempts import PREFIX
from worker.settings import WorkerSettings


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
    due_now(office)
    office.classifier.error = None
    office.handle()
    assert office.classifier.attempts == [1, 1]


def test_pictures_of_a_collection_that_never_gets_a_model_fail_visibly_and_are_kept(office: Office) -> None:
    office.deliveries._settings = WorkerSettings(model_patience_s=25)
    office.put(fields("a", "b", collection="never"))
    office.classifier.error = NoChampion("run `shoal train`")
    for _ in range(3):  # each wait counts as ten seconds
        assert not office.classifier.failed
        office.handle()
        due_now(office)
    assert office.classifier.failed == [("a", "model.unavailable"), ("b", "model.unavailable")]
    (letter,) = office.dead("never")
    assert letter.error == "its collection got no model"
    assert office.nothing_left()


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


@pytest.mark.parametrize("step", ["begin", "failed"])
def test_a_message_whose_attempt_cannot_be_counted_is_not_acknowledged(
    office: Office, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise redis.exceptions.ResponseError("MISCONF the disk is full")

    office.classifier.error = StoreUnavailable("away")
    office.put(fields("a"))
    with monkeypatch.context() as patch:
        patch.setattr(office.attempts, step, refuse)
        office.handle()
    due_now(office)
    office.classifier.error = None
    office.handle()
    assert len(office.classifier.done) == 1


def test_a_lease_that_ran_out_before_work_began_is_left_to_others(office: Office) -> None:
    office.deliveries.handle("of-nobody")
    assert office.classifier.attempts == []


def test_a_record_forgets_what_is_done_and_keeps_the_first_lines(office: Office) -> None:
    lease = Lease("lease", "bulk", b"raw", Unreadable("not tried"))
    for number in range(30):
        attempt = office.attempts.begin(lease, f"id-{number}")
        assert (attempt.message_id, attempt.failures, attempt.deaths) == ("id-0", number, 0)
        office.attempts.failed(lease, f"reason\n {number}")
    assert office.attempts.begin(lease, "x").history[:2] == ("reason 0", "reason 1")
    assert len(office.client.keys(PREFIX + "*")) == 1
    office.attempts.done(lease)
    assert office.attempts.begin(lease, "new").message_id == "new"


def test_a_twin_in_work_is_no_death_and_one_whose_lease_is_gone_is(office: Office) -> None:
    first, twin = (Lease(name, "bulk", b"raw", Unreadable("not tried")) for name in ("first", "twin"))
    office.client.zadd(DUE, {"first": 1})
    office.attempts.begin(first, "x")
    assert office.attempts.begin(twin, "x").deaths == 0
    office.client.delete(DUE)
    assert office.attempts.begin(twin, "x").deaths == 1


def test_an_outcome_that_cannot_be_stored_is_tried_again_and_blames_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    past = datetime.now(UTC) - timedelta(seconds=1)
    office.put(fields("a", "b", expires_at=past.isoformat()))
    with monkeypatch.context() as patch:
        patch.setattr(office.classifier, "fail", away)
        for _ in range(5):
            office.handle()
            due_now(office)
    office.handle()
    assert office.classifier.failed == [("a", "message.expired"), ("b", "message.expired")]
    assert office.classifier.done == []
    assert office.dead() == []
    assert office.nothing_left()


def test_a_message_begun_in_time_is_done_though_it_comes_again_too_late(office: Office) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    office.classifier.poison = "a"
    office.put(fields("a", expires_at=soon.isoformat()))
    office.handle()
    office.classifier.poison = None
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.1)
    office.handle()
    assert [message.images[0].image_id for message in office.classifier.done] == ["a"]


def test_what_is_abandoned_is_no_death(office: Office) -> None:
    lease = Lease("lease", "bulk", b"raw", Unreadable("not tried"))
    office.leases.hold(lease)
    office.attempts.begin(lease, "x")
    office.deliveries.abandon()
    again = Lease("again", "bulk", b"raw", Unreadable("not tried"))
    assert office.attempts.begin(again, "x").deaths == 0
