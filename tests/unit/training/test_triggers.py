from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from training.drift import Alarm, Reading
from training.run_record import RunRecord, State
from training.triggers import Due, Facts, NotDue, TriggerSettings, due, last_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTINGS = TriggerSettings(volume=100, cooldown_s=3600)


def run(hours_ago: float, state: State = "promoted", slot: str = "s") -> RunRecord:
    return RunRecord(
        collection="default", slot=slot, state=state, started_at=NOW - timedelta(hours=hours_ago)
    )


def alarm(hours_ago: float | None, version: str = "v1") -> Alarm:
    reading = Reading(version=version, n_images=1000, figures=())
    since = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return Alarm(reading=reading, read_at=NOW, since=since, reason="unknown 0.4, usual 0.01, limit 0.11")


FACTS = Facts(
    now=NOW,
    champion="v1",
    n_new=99,
    n_corpus=500,
    min_images=200,
    alarm=None,
    running=None,
    last=run(5),
    last_trained=run(5),
)


def waits(facts: Facts, settings: TriggerSettings = SETTINGS) -> str:
    answer = due(facts, settings)
    assert isinstance(answer, NotDue), answer
    return answer.reason


def asks(facts: Facts, settings: TriggerSettings = SETTINGS) -> Due:
    answer = due(facts, settings)
    assert isinstance(answer, Due), answer
    return answer


def test_enough_new_pictures_ask_for_a_run_and_one_fewer_does_not() -> None:
    assert "99 new pictures" in waits(FACTS)
    assert waits(replace(FACTS, n_new=1)).startswith("1 new picture, ")
    assert asks(replace(FACTS, n_new=100)).reason == "100 new pictures, it takes 100"
    assert asks(replace(FACTS, n_new=100)).kind == "volume"


def test_volume_may_be_turned_off() -> None:
    waits(replace(FACTS, n_new=10**6), SETTINGS.model_copy(update={"volume": None}))


def test_drift_asks_for_one_run_and_not_again_until_it_has_fallen() -> None:
    asked = asks(replace(FACTS, alarm=alarm(2)))
    assert (asked.kind, asked.reason) == ("drift", "unknown 0.4, usual 0.01, limit 0.11")

    waits(
        replace(FACTS, alarm=alarm(2), last=run(1.5), last_trained=run(1.5))
    )  # answered, kept as challenger
    asks(replace(FACTS, alarm=alarm(2), last=run(1.5, "failed"), last_trained=run(5)))  # not answered
    waits(replace(FACTS, alarm=alarm(None)))
    waits(replace(FACTS, alarm=alarm(2, version="v0")))
    waits(replace(FACTS, alarm=alarm(2)), SETTINGS.model_copy(update={"drift": False}))


def test_nothing_is_due_while_a_run_is_at_work() -> None:
    assert waits(replace(FACTS, n_new=500, running=run(3, "running", "x"))) == "run x is at work"


@pytest.mark.parametrize("state", ["promoted", "challenger", "skipped", "failed"])
def test_after_any_run_there_is_a_pause(state: State) -> None:
    assert "less than 3600 s ago" in waits(replace(FACTS, n_new=500, last=run(0.99, state)))
    asks(replace(FACTS, n_new=500, last=run(1.01, state)))


def test_a_clock_that_was_wrong_does_not_hold_up_everything() -> None:
    asks(replace(FACTS, n_new=500, last=run(-24 * 365)))
    waits(replace(FACTS, n_new=500, last=run(-0.01)))  # a few seconds between two machines' clocks


def test_too_few_pictures_or_no_model_are_waited_for() -> None:
    assert waits(replace(FACTS, n_new=150, n_corpus=199)) == "199 usable pictures, it takes 200"
    assert "shoal train" in waits(replace(FACTS, n_new=150, champion=None))


def test_all_who_see_the_same_past_name_the_same_run_whatever_asks_for_it() -> None:
    by_volume = asks(replace(FACTS, n_new=100))
    by_drift = asks(replace(FACTS, n_new=50, alarm=alarm(2), now=NOW + timedelta(minutes=1)))

    assert by_volume.slot == by_drift.slot == "after-20261124T070000.000Z"
    assert asks(replace(FACTS, n_new=100, last=run(4))).slot != by_volume.slot
    assert asks(replace(FACTS, n_new=100, last=None)).slot == "after-none"


def test_the_latest_runs_are_found_by_their_start() -> None:
    records = [run(1, "failed", "c"), run(3, "promoted", "a"), run(2, "challenger", "b")]

    running, last, trained = last_of(records, NOW)

    assert (running, last and last.slot, trained and trained.slot) == (None, "c", "b")
    assert last_of([], NOW) == (None, None, None)
    assert last_of([run(1, "running", "r")], NOW)[0] is not None


def test_a_run_begun_by_a_clock_that_was_ahead_holds_up_none_but_while_it_is_at_work() -> None:
    ahead, before = run(-24 * 365, "promoted", "ahead"), run(30, "promoted", "before")

    assert last_of([before, ahead], NOW) == (None, before, before)
    assert last_of([run(-24, "running", "r"), before], NOW)[0] is not None
