from collections.abc import Callable

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore
from tests.unit.training.checked import SETTINGS, Recorded, check
from training.drift import Alarm
from training.triggers import Due, NotDue

pytestmark = pytest.mark.usefixtures("with_champion")


def test_enough_new_pictures_start_one_run_and_the_cooldown_holds_the_next(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    retraining = Recorded(store)
    classified("old", 25, days_ago=2)
    classified("new", 29)
    looked = check(store, retraining)
    assert looked.run() is None

    classified("one", 1)
    ended = looked.run()

    assert ended is not None
    assert (ended.trigger, ended.trigger_reason) == ("volume", "30 new pictures, it takes 30")
    classified("more", 40)
    assert looked.run() is None
    assert len(retraining.asked) == 1


def test_five_trainers_that_see_the_same_start_one_run(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    classified("new", 30)
    decisions = [check(store, Recorded(store)).decide() for _ in range(5)]
    retraining = Recorded(store)

    ended = [retraining.run(d.slot, d.kind, d.reason) for d in decisions if isinstance(d, Due)]

    assert len(ended) == 5
    assert len([record for record in ended if record is not None]) == 1


def test_pictures_classified_anew_are_not_new(store: MemoryStore, classified: Callable[..., None]) -> None:
    classified("old", 50, days_ago=2)
    classified("old", 50)  # a backfill
    retraining = Recorded(store)
    looked = check(store, retraining)

    assert looked.run() is None
    classified("new", 29)
    assert looked.run() is None
    classified("new2", 1)
    assert looked.run() is not None


def test_the_same_bytes_under_many_names_are_one_picture(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    classified("copy", 50, sha256="same")
    classified("new", 28)
    looked = check(store, Recorded(store))
    assert looked.run() is None

    classified("one", 1)

    ended = looked.run()
    assert ended is not None
    assert ended.trigger_reason == "30 new pictures, it takes 30"


def test_what_came_while_the_last_model_was_trained_counts_as_new(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    retraining = Recorded(store, "challenger")
    classified("first", 30)
    looked = check(
        store,
        retraining,
        SETTINGS.model_copy(update={"triggers": SETTINGS.triggers.model_copy(update={"cooldown_s": 0.0})}),
    )
    assert looked.run() is not None

    assert isinstance(looked.decide(), NotDue)


def test_drift_starts_a_run_once_and_stands_in_its_file(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    volume_off = SETTINGS.model_copy(
        update={"triggers": SETTINGS.triggers.model_copy(update={"volume": None, "cooldown_s": 0.0})}
    )
    retraining = Recorded(store, "challenger")
    looked = check(store, retraining, volume_off)
    classified("usual", 100)
    assert looked.run() is None

    classified("other", 100, cluster=0, status="unknown")
    ended = looked.run()

    assert ended is not None
    assert ended.trigger == "drift"
    assert "unknown 1, usual" in ended.trigger_reason
    alarm = Alarm.model_validate_json(store.get(Layout("default").drift()).data)
    assert alarm.since is not None
    classified("other2", 100, cluster=0, status="unknown")
    assert looked.run() is None


def test_a_backlog_over_midnight_counts_though_its_messages_are_of_the_day_before(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    classified("late", 30, days_ago=3, done_days_ago=0)

    assert check(store, Recorded(store)).run() is not None
