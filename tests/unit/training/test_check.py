from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest

from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.contracts import ImageRef, ModelStamp, Result
from producer.ulid import new_ulid
from tests.tiny_model import N_CLUSTERS, TinyBundle
from training import check as check_module
from training.check import Check
from training.drift import Alarm
from training.retrain import Retraining
from training.run_record import RunRecord, State, Trigger
from training.runs import Runs
from training.settings import TrainingSettings
from training.triggers import Due, NotDue

NOW = datetime.now(UTC)
SETTINGS = TrainingSettings.model_validate(
    {
        "min_images": 20,
        "lease_s": 1e-9,
        "triggers": {"volume": 30, "cooldown_s": 60},
        "drift": {"window_images": 100},
    }
)


class Recorded:
    """Stands in for the retraining: begins runs, and ends them at once."""

    def __init__(self, store: MemoryStore, state: State = "promoted") -> None:
        self.runs = Runs(store, "default", SETTINGS.lease_s)
        self.state = state
        self.asked: list[tuple[str, str, str]] = []
        self.taken_up: list[str] = []

    def run(self, slot: str, trigger: Trigger, reason: str) -> RunRecord | None:
        self.asked.append((slot, trigger, reason))
        lease = self.runs.begin(slot, trigger, reason)
        return lease.end(state=self.state) if lease else None

    def take_up(self, dead: RunRecord) -> RunRecord | None:
        self.taken_up.append(dead.slot)
        lease = self.runs.take_up(dead)
        return lease.end(state=self.state) if lease else None


@pytest.fixture
def store(tiny_bundle: TinyBundle) -> MemoryStore:
    """A store with a champion that was made a day ago."""
    store, (manifest, files) = MemoryStore(), tiny_bundle
    registry = Registry(store, "default")
    registry.publish(manifest.model_copy(update={"created_at": NOW - timedelta(days=1)}), files)
    registry.promote(manifest.version)
    return store


@pytest.fixture
def classified(store: MemoryStore) -> Callable[..., None]:
    """Put pictures into the ledger, some days ago, with a projection at a cluster each."""

    def put(
        name: str,
        n: int,
        *,
        days_ago: float = 0,
        done_days_ago: float | None = None,
        cluster: int | None = None,
        status: str = "assigned",
        sha256: str = "",
    ) -> None:
        at = NOW - timedelta(days=days_ago)
        message_id = new_ulid(at.timestamp())
        version = Registry(store, "default").current().version
        refs = [ImageRef(image_id=f"{name}_{i}", bucket="uploads", key=f"k/{name}_{i}") for i in range(n)]
        results = [
            Result.model_validate(
                {
                    "image_id": ref.image_id,
                    "collection": "default",
                    "status": status,
                    "message_id": message_id,
                    "model": ModelStamp(version=version, sha256="0", generation=1),
                    "classified_at": at
                    if done_days_ago is None
                    else NOW - timedelta(days=done_days_ago - 0.01),
                    "input": {
                        "etag": None,
                        "sha256": sha256 or ref.image_id,
                        "width": 1,
                        "height": 1,
                        "format": "PNG",
                    },
                }
            )
            for ref in refs
        ]
        clusterer = Registry(store, "default").load(Registry(store, "default").current(), "cpu").clusterer
        places = [clusterer.centroids[i % N_CLUSTERS if cluster is None else cluster] for i in range(n)]
        Ledger(store, "default").append(message_id, refs, results, [np.array(p) for p in places])

    return put


def check(store: MemoryStore, retraining: Recorded, settings: TrainingSettings = SETTINGS) -> Check:
    return Check("default", store, cast("Retraining", retraining), settings)


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


def test_a_backlog_over_midnight_counts_though_its_messages_are_of_the_day_before(
    store: MemoryStore, classified: Callable[..., None]
) -> None:
    classified("late", 30, days_ago=3, done_days_ago=0)

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
