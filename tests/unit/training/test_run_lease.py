import threading
import time

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore
from producer.errors import StoreUnavailable
from tests.racing import RACERS, race
from tests.unit.training.begun_runs import SLOT, begun, taken_up
from training.progress import Silent
from training.run_lease import RunLease, RunLost, Stall, Watch
from training.run_progress import RunProgress
from training.run_record import RunRecord
from training.runs import Runs


def test_who_was_thought_dead_can_write_nothing_more(runs: Runs) -> None:
    first = begun(runs)
    first.save(n_images=7)

    second = taken_up(runs)

    with pytest.raises(RunLost):
        first.save()
    with pytest.raises(RunLost):
        first.end(state="promoted")
    with pytest.raises(RunLost):
        first.check()
    assert runs.get(SLOT) == second.record
    assert (second.record.attempt, second.record.n_images, second.record.state) == (2, 7, "running")
    second.end(state="promoted")


def test_of_racing_successors_one_takes_a_run_up(runs: Runs) -> None:
    dead = begun(runs).record

    answers = race(lambda _: runs.take_up(dead))

    assert len([lease for lease in answers if isinstance(lease, RunLease)]) == 1
    assert answers.count(None) == RACERS - 1
    assert (runs.get(SLOT).attempt, runs.get(SLOT).state) == (2, "running")


def test_a_run_that_died_twice_has_failed_and_says_so(runs: Runs) -> None:
    begun(runs)
    second = taken_up(runs)

    assert runs.take_up(runs.get(SLOT)) is None

    read = runs.get(SLOT)
    assert (read.state, read.attempt) == ("failed", 2)
    assert "died 2 times" in read.reason
    with pytest.raises(RunLost):
        second.save()


def test_an_answer_lost_on_the_way_is_not_taken_for_anothers_write(store: MemoryStore) -> None:
    lease = begun(Runs(store, "default"))
    key = Layout("default").run(SLOT)
    store.put(key, lease.record.model_copy(update={"heartbeat": 1}).model_dump_json().encode())

    lease.save(n_images=3)  # its ETag is outdated, by a write of its own

    assert RunRecord.model_validate_json(store.get(key).data).n_images == 3


def test_a_record_that_somebody_removed_is_a_run_lost(store: MemoryStore) -> None:
    lease = begun(Runs(store, "default"))
    store.delete(Layout("default").run(SLOT))

    with pytest.raises(RunLost):
        lease.save()


def test_a_holder_gives_signs_of_life_through_an_outage(store: MemoryStore) -> None:
    class Away(MemoryStore):
        failing = 3

        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            if not create_only and self.failing:
                self.failing -= 1
                raise StoreUnavailable("away")
            return super().put(key, data, create_only=create_only, if_match=if_match)

    away = Away()
    runs = Runs(away, "default", lease_s=0.02)
    with begun(runs) as lease:
        while lease.record.heartbeat < 3:
            lease.check()
    assert not away.failing
    assert runs.get(SLOT).heartbeat >= 3


def test_only_a_record_that_does_not_change_is_taken_for_dead(runs: Runs) -> None:
    watch, lease = Watch(lease_s=60), begun(runs)
    begun(runs, "ended").end(state="skipped")

    assert watch.dead(runs.states(), now_s=0) == []
    assert watch.dead(runs.states(), now_s=59) == []
    lease.save()
    assert watch.dead(runs.states(), now_s=61) == []
    assert watch.dead(runs.states(), now_s=120) == []
    assert [record.slot for record in watch.dead(runs.states(), now_s=121)] == [SLOT]


def test_one_record_read_after_a_long_absence_is_no_proof_of_death(runs: Runs) -> None:
    begun(runs)

    assert Watch(lease_s=60).dead(runs.states(), now_s=1e9) == []


def test_a_run_that_makes_no_progress_gives_no_more_signs_of_life(store: MemoryStore) -> None:
    given_up = threading.Event()
    runs = Runs(store, "default", lease_s=0.04, stall=Stall(0.2, given_up.set))

    with begun(runs) as lease:
        assert given_up.wait(20)
        before = runs.get(SLOT)
        time.sleep(0.1)

        assert runs.get(SLOT) == before
        assert Runs(store, "default").take_up(before) is not None
        with pytest.raises(RunLost):
            lease.save()


def test_a_run_that_goes_on_is_not_given_up(store: MemoryStore) -> None:
    given_up = threading.Event()
    runs = Runs(store, "default", lease_s=0.04, stall=Stall(60, given_up.set))

    with begun(runs) as lease:
        progress = RunProgress(Silent(), lease)
        lease._progressed_at -= 40  # the limit is near
        progress.advance(1)

        assert time.monotonic() - lease._progressed_at < 20
    assert not given_up.is_set()
