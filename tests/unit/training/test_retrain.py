from pathlib import Path

import pytest

from model_store.layout import MANIFEST, Layout
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.contracts import ImageRef
from tests.unit.training.one_run import SLOT, N, add_to_ledger, one_run, record
from tests.watched_stores import Killed, Mortal
from training.progress import Silent
from training.retrain import Retraining
from training.run_record import RunRecord
from training.runs import Runs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store() -> Mortal:
    return Mortal()


@pytest.fixture
def retraining(store: Mortal, tmp_path: Path) -> Retraining:
    return one_run(store, tmp_path)


def whole_versions(store: MemoryStore) -> list[str]:
    """List the versions that have a manifest, each of which must load."""
    registry = Registry(store, "default")
    found = [manifest.version for manifest in registry.versions()]
    for version in found:
        registry.load(registry.manifest(version)[1], "cpu")
    return found


def test_a_run_ends_promoted_and_leaves_only_its_record_and_its_version(
    store: Mortal, retraining: Retraining
) -> None:
    ended = retraining.run(SLOT, "volume", "60 new pictures")

    assert ended == record(store)
    assert ended is not None
    assert (ended.state, ended.trigger, ended.n_images) == ("promoted", "volume", N)
    champion = Registry(store, "default").current()
    assert champion.version == ended.version
    manifest, _ = Registry(store, "default").manifest(champion.version)
    assert manifest.snapshot.digest == ended.snapshot_digest
    assert f"{SLOT.lower()}-a1" in champion.version
    assert [info.key for info in store.list(Layout("default").runs())] == [Layout("default").run(SLOT)]


def test_killed_before_every_single_write_the_run_completes_once(
    store: Mortal, retraining: Retraining, tmp_path: Path
) -> None:
    n_before = len(store.changes)
    retraining.run(SLOT)
    n_changes = len(store.changes) - n_before
    assert n_changes > 15
    for moment in range(1, n_changes):
        again = Mortal()
        add_to_ledger(again, [row.ref for row in Ledger(store, "default").rows()])
        run = Retraining("default", again, retraining._images, retraining._settings, Silent())
        again.die_at = moment + 1
        with pytest.raises(Killed):
            run.run(SLOT)
        again.die_at = None
        whole_versions(again)

        run.take_up(record(again))

        ended = record(again)
        assert ended.state == "promoted", moment
        champion = Registry(again, "default").current()
        assert (champion.version, champion.generation) == (ended.version, 1), moment
        assert len(whole_versions(again)) == 1, moment


def test_a_trainer_that_wakes_up_late_publishes_and_promotes_nothing(
    store: Mortal, retraining: Retraining
) -> None:
    done: list[RunRecord | None] = []

    def successor_first(key: str) -> None:
        if key.endswith("encoder.safetensors"):  # the first trainer is about to publish, and falls asleep
            store.before = None
            done.append(retraining.take_up(record(store)))

    store.before = successor_first
    assert retraining.run(SLOT) is None

    assert done[0] is not None
    assert (done[0].state, done[0].attempt) == ("promoted", 2)
    assert whole_versions(store) == [done[0].version]
    assert Registry(store, "default").current().generation == 1
    assert record(store) == done[0]


def test_asleep_between_its_last_look_and_the_manifest_it_leaves_a_version_that_nobody_points_at(
    store: Mortal, retraining: Retraining
) -> None:
    def successor_first(key: str) -> None:
        if key.endswith(MANIFEST):
            store.before = None
            retraining.take_up(record(store))

    store.before = successor_first
    assert retraining.run(SLOT) is None

    assert len(whole_versions(store)) == 2
    champion = Registry(store, "default").current()
    assert (champion.version, champion.generation) == (record(store).version, 1)
    assert champion.version.endswith("-a2")


def test_awake_again_while_its_successor_is_still_at_work_it_moves_no_alias(
    store: Mortal, retraining: Retraining
) -> None:
    def taken_up_first(key: str) -> None:
        if key.endswith(MANIFEST):
            store.before = None
            Runs(store, "default").take_up(record(store))

    store.before = taken_up_first
    assert retraining.run(SLOT) is None

    registry = Registry(store, "default")
    assert (registry.alias("champion"), registry.alias("challenger")) == (None, None)
    assert (record(store).state, record(store).attempt) == ("running", 2)


def test_asleep_between_its_last_look_and_the_promotion_both_promote_the_same(
    store: Mortal, retraining: Retraining
) -> None:
    def successor_first(key: str) -> None:
        if key == Layout("default").alias("champion"):
            store.before = None
            retraining.take_up(record(store))

    store.before = successor_first
    assert retraining.run(SLOT) is None

    champion = Registry(store, "default").current()
    assert (champion.version, champion.generation) == (record(store).version, 1)
    assert whole_versions(store) == [champion.version]
    assert record(store).state == "promoted"


def test_of_two_runs_that_overlap_the_later_stays_challenger_and_says_why(
    store: Mortal, retraining: Retraining
) -> None:
    def another_first(key: str) -> None:
        if key.endswith("encoder.safetensors"):
            store.before = None
            retraining.run("another")

    store.before = another_first
    retraining.run(SLOT)

    assert (record(store).state, Runs(store, "default").get("another").state) == ("challenger", "promoted")
    assert "moved on to generation 1" in record(store).reason
    challenger = Registry(store, "default").alias("challenger")
    assert challenger is not None
    assert challenger.version == record(store).version


def test_a_picture_erased_between_two_attempts_is_not_learnt_from(
    store: Mortal, retraining: Retraining
) -> None:
    store.die_at = len(store.changes) + 3
    with pytest.raises(Killed):
        retraining.run(SLOT)
    store.die_at = None
    Tombstones(store, "default").set(["img_7"], "a request")

    ended = retraining.take_up(record(store))

    assert ended is not None
    assert ended.n_images == N - 1


def test_too_few_different_pictures_are_skipped(store: Mortal, retraining: Retraining) -> None:
    refs = [ImageRef(image_id=f"copy_{n}", bucket="uploads", key="k0") for n in range(60)]
    other = MemoryStore()
    add_to_ledger(other, refs)

    ended = Retraining("default", other, retraining._images, retraining._settings, Silent()).run(SLOT)

    assert ended is not None
    assert (ended.state, ended.reason) == ("skipped", "1 different pictures, it takes 30")


def test_a_failed_run_says_why(store: Mortal, retraining: Retraining) -> None:
    def broken(key: str) -> None:
        if key.endswith("encoder.safetensors"):
            raise RuntimeError("the disk is on fire")

    store.before = broken
    with pytest.raises(RuntimeError):
        retraining.run(SLOT)

    assert (record(store).state, record(store).reason) == ("failed", "RuntimeError: the disk is on fire")
