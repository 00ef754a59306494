from datetime import UTC, datetime

import pytest
from celery.schedules import crontab, schedule

from producer.broker import CHECK, RETRAIN
from producer.errors import ConfigurationError
from training.schedule import beat_schedule, slot_at
from training.settings import TrainingSettings

THREE_S = datetime(2026, 11, 23, 3, 0, tzinfo=UTC).timestamp()


def settings(**changed: object) -> TrainingSettings:
    return TrainingSettings.model_validate(changed)


def test_two_moments_in_one_minute_name_the_same_run() -> None:
    assert slot_at(THREE_S, settings()) == slot_at(THREE_S + 59.9, settings()) == "20261123T030000Z"


def test_the_next_minute_names_another_run() -> None:
    assert slot_at(THREE_S + 60, settings()) == "20261123T030100Z"


@pytest.mark.parametrize(
    ("after_s", "slot"), [(0, "030000"), (14.9, "030000"), (15, "030015"), (29, "030015")]
)
def test_with_an_interval_the_run_is_named_for_its_beginning(after_s: float, slot: str) -> None:
    assert slot_at(THREE_S + after_s, settings(every_s=15)) == f"20261123T{slot}Z"


def test_every_collection_has_its_entries() -> None:
    entries = beat_schedule(settings(collections=["cats", "dogs"]))

    assert {name: (entry["task"], entry["kwargs"]) for name, entry in entries.items()} == {
        "retrain-cats": (RETRAIN, {"collection": "cats", "trigger": "schedule"}),
        "check-cats": (CHECK, {"collection": "cats"}),
        "retrain-dogs": (RETRAIN, {"collection": "dogs", "trigger": "schedule"}),
        "check-dogs": (CHECK, {"collection": "dogs"}),
    }


def test_the_cron_line_becomes_its_schedule() -> None:
    entry = beat_schedule(settings(schedule="*/15 3 1 */2 mon-fri"))["retrain-default"]

    assert entry["schedule"] == crontab(
        minute="*/15", hour="3", day_of_month="1", month_of_year="*/2", day_of_week="mon-fri"
    )


def test_an_interval_goes_before_the_cron_line() -> None:
    entry = beat_schedule(settings(schedule="not read", every_s=30))["retrain-default"]

    assert entry["schedule"] == schedule(30)


@pytest.mark.parametrize(
    ("chosen", "expires_s"),
    [
        ({"every_s": 600}, 600),
        ({"schedule": "0 3 * * *"}, 86_400),
        ({"schedule": "*/15 * * * *"}, 900),
        ({"schedule": "0 3,4 * * *"}, 3600),
        ({"schedule": "30 2 * * sun"}, 7 * 86_400),
    ],
)
def test_runs_that_a_trainer_misses_do_not_queue_up(chosen: dict[str, object], expires_s: float) -> None:
    entry = beat_schedule(settings(**chosen))["retrain-default"]

    assert entry["options"] == {"expires": expires_s}


def test_checks_that_wait_behind_a_long_run_expire() -> None:
    entry = beat_schedule(settings(triggers={"check_every_s": 7}))["check-default"]

    assert entry["schedule"] == schedule(7)
    assert entry["options"] == {"expires": 7}


@pytest.mark.parametrize(
    "line",
    ["", "3", "0 3 * *", "0 3 * * * *", "99 * * * *", "a b c d e", "-1 * * * *", "*/0 * * * *", "0 3 32 * *"],
)
def test_a_cron_line_that_cannot_be_read_names_the_setting_and_the_line(line: str) -> None:
    with pytest.raises(ConfigurationError, match="SHOAL_TRAINING__SCHEDULE") as caught:
        beat_schedule(settings(schedule=line))

    assert repr(line) in str(caught.value)
