"""How a backfill goes on, waits, stops and ends."""

from collections.abc import Iterator

import pytest

from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from producer.contracts import ImageRef, ModelStamp, Result
from producer.errors import PreconditionFailed, QueueFull
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle
from tests.unit.training.backfilled import Place, interrupt_at
from training import backfill, backfill_record
from training.backfill_record import read, take
from training.progress import Silent


@pytest.fixture
def place(tiny_bundle: TinyBundle) -> Place:
    return Place(tiny_bundle)


def test_a_backfill_that_is_done_is_not_done_again(place: Place) -> None:
    place.answered("a")
    place.publish_other_encoder()
    assert place.run()
    assert place.run() is None
    assert place.post.ids == ["a"]


@pytest.mark.parametrize("at", range(6))
def test_one_that_was_interrupted_goes_on_and_leaves_nobody_out(place: Place, at: int) -> None:
    for day in range(3):
        place.answered(f"a{day}", f"b{day}", day=day + 1)
    place.publish_other_encoder()
    interrupt_at(place, at)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    place.post.on_submit = lambda: None
    record = place.run()
    assert record is not None
    assert record.state == "done"
    assert set(place.post.ids) == {f"{kind}{day}" for kind in "ab" for day in range(3)}
    assert len(place.post.ids) <= 6 + at % 2  # what was half done of one day, and no more


def test_a_move_of_the_champion_stops_it_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_record, "RENEW_S", -1.0)
    place.answered("a", "b", "c")
    place.publish_other_encoder()

    def roll_back_once() -> None:
        if not place.post.refs:
            place.registry.rollback()

    place.post.on_submit = roll_back_once
    record = place.run()
    assert record is not None
    assert record.state == "stopped"
    assert "the champion is v1 by now" in record.reason


def test_a_full_queue_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "PAUSE_S", 0.0)
    answers: Iterator[bool] = iter([True, True, False, False])

    def sometimes() -> None:
        if next(answers):
            raise QueueFull("full")

    place.answered("a", "b")
    place.publish_other_encoder()
    place.post.on_submit = sometimes
    place.run()
    assert place.post.ids == ["a", "b"]


def test_it_keeps_to_its_rate(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(place.stop, "wait", waited.append)
    place.answered(*(f"p{i}" for i in range(50)))
    place.publish_other_encoder()
    place.work(images_per_s=0.5).run(place.post, Silent())  # type: ignore[arg-type]
    assert len(waited) == 49
    assert 2 * 49 - 5 < max(waited) <= 2 * 49  # the clock stood still: the last is due 98 s after the first


def test_told_to_stop_it_ends_at_once(place: Place) -> None:
    place.answered("a", "b")
    place.publish_other_encoder()
    place.post.on_submit = place.stop.set
    record = place.run()
    assert record is not None
    assert (record.state, record.reason) == ("stopped", "the process ends")
    assert len(place.post.refs) == 1


def test_pictures_that_the_old_model_answers_meanwhile_are_seen_too(place: Place) -> None:
    place.answered("a", day=1)
    place.publish_other_encoder()
    late = ["late"]

    def straggler() -> None:
        while late:
            message_id = new_ulid()  # of today
            ref = ImageRef(image_id=late.pop(), bucket="uploads", key="k")
            result = Result(
                image_id=ref.image_id,
                collection="default",
                status="assigned",
                message_id=message_id,
                model=ModelStamp(version="v1", sha256="0", generation=1),
            )
            Ledger(place.store, "default").append(message_id, [ref], [result], [None])

    place.post.on_submit = straggler
    place.run()
    assert place.post.ids == ["a", "late"]


def test_of_two_processes_one_works_and_takes_over_only_what_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    first = take(store, "default", 2, "v2")
    assert first is not None
    assert take(store, "default", 2, "v2") is None
    monkeypatch.setattr(backfill_record, "STALE_S", -1.0)
    second = take(store, "default", 2, "v2")
    assert second is not None
    with pytest.raises(PreconditionFailed):
        first.write(submitted=1)
    second.write(submitted=2)
    found = read(store, "default", 2)
    assert found is not None
    assert found[0].submitted == 2
    assert [info.key for info in store.list()] == [Layout("default").backfill(2)]


def test_renewals_that_an_older_model_answered_are_submitted_again(place: Place) -> None:
    """The first 40 messages are answered at once by a worker that has not taken the champion up."""
    place.answered(*(f"img_{n}" for n in range(100)))
    place.publish_other_encoder()
    place.post.answer = lambda image_id, nth: place.renewed(image_id, old=nth <= 40)

    record = place.run()

    assert record is not None
    assert (record.state, record.submitted) == ("done", 140)
    assert place.work().outlook(Silent()).submit == 0


def test_a_worker_that_refuses_the_champion_does_not_keep_a_backfill_for_ever(place: Place) -> None:
    place.answered("a")
    place.publish_other_encoder()
    place.post.answer = lambda image_id, _: place.renewed(image_id, old=True)

    record = place.run()

    assert record is not None
    assert (record.state, record.submitted) == ("done", 1 + backfill.LOOKS)
    assert "answers of an older model" in record.reason
