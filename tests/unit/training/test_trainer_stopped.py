"""What a trainer says that is asked to stop while a run is under way."""

from pathlib import Path
from types import SimpleNamespace

import structlog

from tests.unit.training.one_run import SLOT, one_run
from tests.watched_stores import Mortal
from training.app import TrainerServices
from training.run_record import RunRecord


def asked_to_stop(run: RunRecord | None) -> list[str]:
    services = TrainerServices(None)
    services.wired = SimpleNamespace(under_way=lambda: run, close=lambda: None)
    stopped = []
    with structlog.testing.capture_logs() as logs:
        services.stop(SimpleNamespace(pool=SimpleNamespace(stop=lambda: stopped.append(1))))
    assert stopped
    return [f"{log['event']}: {log['if_killed']}" for log in logs]


def test_it_says_that_the_run_is_waited_for_and_what_becomes_of_it_if_it_is_killed() -> None:
    run = RunRecord(slot=SLOT, collection="default", holder="x")
    (first,) = asked_to_stop(run)
    (second,) = asked_to_stop(run.model_copy(update={"attempt": 2}))
    assert first.startswith("a training is under way and waited for: the next trainer goes on from its last")
    assert "the run has failed" in second
    assert asked_to_stop(None) == []


def test_a_run_is_under_way_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    store = Mortal()
    retraining, seen = one_run(store, tmp_path), []
    store.before = lambda _: seen.append(retraining.under_way)

    retraining.run(SLOT)

    slots = [run.slot if run else None for run in seen]
    assert slots[0] is None  # its record is only just written
    assert set(slots[1:]) == {SLOT}
    assert retraining.under_way is None
