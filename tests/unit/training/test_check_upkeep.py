"""What a check looks after besides the triggers, and what must not stop it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.errors import AccessDenied, ObjectNotFound, ShoalError, StoreUnavailable
from tests.tiny_model import TinyBundle
from tests.unit.training.checked import NOW, Recorded, check
from training import check as check_module
from training.run_record import RunRecord
from training.triggers import NotDue

pytestmark = pytest.mark.usefixtures("with_champion")


def test_a_dead_run_is_taken_up_and_ends_as_failed_the_second_time(store: MemoryStore) -> None:
    class Dying(Recorded):
        def take_up(self, dead: RunRecord) -> RunRecord | None:
            self.taken_up.append(dead.slot)
            self.runs.take_up(dead)  # and dies at once
            return None

    retraining = Dying(store)
    looked = check(store, retraining)
    retraining.runs.begin("died")
    for _ in range(4):
        looked.run()

    assert retraining.taken_up == ["died", "died"]
    record = retraining.runs.get("died")
    assert (record.state, record.attempt) == ("failed", 2)
    assert retraining.asked == []


def test_a_collection_without_a_model_or_pictures_is_left_alone(store: MemoryStore) -> None:
    assert check(MemoryStore(), Recorded(MemoryStore())).run() is None
    assert check(store, Recorded(store)).run() is None


def test_finished_days_are_compacted_and_counted_once(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    for n in range(3):
        classified(f"a{n}", 9, days_ago=3)
    retraining = Recorded(store)
    registry = Registry(store, "default")
    manifest, _ = registry.manifest(registry.current().version)
    looked = check(store, retraining)

    looked.run()

    names = [info.key.rpartition("/")[2] for info in store.list(Layout("default").ledger())]
    assert names == ["day-00000001.parquet"]
    assert manifest.created_at > NOW - timedelta(days=3)
    assert sum(len(table) for table in Ledger(store, "default").tables(["image_id"])) == 27


@pytest.mark.parametrize(
    "error",
    [
        AccessDenied("the policies are of yesterday"),
        StoreUnavailable("away"),
        ObjectNotFound("gone meanwhile"),
    ],
)
def test_what_cannot_be_removed_holds_up_nothing_else(
    store: MemoryStore,
    classified: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    error: ShoalError,
) -> None:
    tried: list[str] = []

    def fails(name: str) -> None:
        tried.append(name)
        raise error

    for name in ("remove_leftovers", "remove_unfinished"):
        monkeypatch.setattr(check_module, name, lambda *_, name=name: fails(name))
    classified("new", 30)

    assert check(store, Recorded(store)).run() is not None
    assert tried == ["remove_leftovers", "remove_unfinished"]


def test_after_a_run_begun_by_a_clock_that_was_ahead_new_pictures_start_runs_again(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    retraining = Recorded(store)
    lease = retraining.runs.begin("ahead")
    assert lease is not None
    lease.end(state="promoted", started_at=NOW + timedelta(days=365))
    classified("new", 30)
    looked = check(store, retraining)

    first = looked.run()
    slots = [slot for slot, _, _ in retraining.asked]

    assert first is not None
    assert first.state == "promoted"
    assert slots == ["after-none"]
    assert isinstance(looked.decide(), NotDue)


def test_a_champion_made_by_a_clock_that_was_ahead_lets_everything_count_once(
    store: MemoryStore, classified: Callable[..., None], tiny_bundle: TinyBundle
) -> None:
    manifest, files = tiny_bundle
    registry = Registry(store, "default")
    ahead = {"created_at": NOW + timedelta(days=365), "version": "20270101-000000-ahead0"}
    registry.publish(manifest.model_copy(update=ahead), files)
    registry.promote("20270101-000000-ahead0")
    classified("new", 30, days_ago=1)

    assert check(store, Recorded(store)).run() is not None


def test_a_record_that_cannot_be_read_stops_no_check(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    for slot, data in (("cut", b'{"slot": "cu'), ("newer", b'{"slot": "newer", "state": "paused"}')):
        store.put(Layout("default").run(slot), data)
    classified("new", 30)

    assert check(store, Recorded(store)).run() is not None


def test_parts_of_a_version_are_removed_after_a_day_unless_a_run_is_at_work_on_it(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    retraining = Recorded(store)
    working = retraining.runs.begin("working")
    assert working is not None
    working.save(version="of-a-run")
    for version in ("of-a-run", "orphan"):
        store.put(Layout("default").model(version, "encoder.safetensors"), b"weights")

    def versions() -> set[str]:
        return {i.key.split("/")[2] for i in store.list(Layout("default").models()) if i.size_bytes}

    before = versions()
    check(store, retraining)._tidy()
    assert versions() == before
    monkeypatch.setattr(check_module, "UNFINISHED", timedelta(days=-1))  # as if a day had passed
    check(store, retraining)._tidy()
    assert before - versions() == {"orphan"}


def test_what_a_run_kept_goes_once_it_has_ended_and_its_report_stays(store: MemoryStore) -> None:
    retraining, layout = Recorded(store), Layout("default")
    for slot in ("ended", "working"):
        lease = retraining.runs.begin(slot)
        assert lease is not None
        for name in ("checkpoint-1.safetensors", "checkpoint-2.safetensors", "corpus.parquet", "report.html"):
            store.put(layout.run_file(slot, name), b"x")
        if slot == "ended":
            lease.end(state="promoted")
    store.put(layout.run_file("train-0123", "checkpoint.safetensors"), b"of a command that was killed")
    before = {info.key for info in store.list(layout.runs())}

    check(store, retraining)._tidy()

    names = ("checkpoint-1.safetensors", "checkpoint-2.safetensors", "corpus.parquet")
    gone = {layout.run_file("ended", name) for name in names}
    assert {info.key for info in store.list(layout.runs())} == before - gone
