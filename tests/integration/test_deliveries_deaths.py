"""Messages that workers die of, with leases and attempts on a real Valkey."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.office import Office, due_now, fields
from worker.settings import WorkerSettings


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
    assert deaths <= 12
    assert office.nothing_left()


def test_a_message_of_one_picture_gets_three_tries(office: Office) -> None:
    office.classifier.poison = "bad"
    office.put(fields("bad"))
    while office.handle():
        pass
    assert office.classifier.attempts == [1, 2, 3]
    assert office.classifier.failed == [("bad", "internal")]


def test_a_picture_gets_its_last_chance_from_no_worker_that_has_just_started(office: Office) -> None:
    office.deliveries._settings = WorkerSettings(witness_after_s=60)
    office.classifier.poison = "bad"
    office.put(fields("bad"))
    while office.handle():
        pass
    assert office.classifier.attempts == [1, 2]
    assert not office.classifier.failed
    assert 50 < office.pause_s() <= 61
    office.deliveries._started -= 60  # it has grown old enough
    due_now(office)
    while office.handle():
        pass
    assert office.classifier.attempts == [1, 2, 3]
    assert office.classifier.failed == [("bad", "internal")]
    assert office.nothing_left()


def test_the_halves_of_a_message_begun_in_time_are_done_though_they_come_too_late(office: Office) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    office.put(fields("a", "b", expires_at=past.isoformat()), split="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    office.handle()
    assert not office.classifier.failed
    assert [len(message.images) for message in office.classifier.done] == [2]


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
    office.handle()
    office.put(fields("b"), split="whole")
    office.handle()
    assert ways == ["together", "alone"]
    office.put(fields("c"))
    office.classifier.poison = "c"
    office.handle()
    office.classifier.poison = None
    office.handle()
    assert ways[2:] == ["together", "together", "alone"]  # the second look finds a death
