from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from model_store.bundle_files import ENCODER, SERVING_FILES
from model_store.cluster_history import ClusterHistory
from model_store.layout import MANIFEST, Layout
from model_store.object_store import MemoryStore
from model_store.registry import Registry, Target
from model_store.unfinished import remove_unfinished
from producer.errors import ObjectNotFound, PreconditionFailed
from tests.racing import RACERS, SlowStore, race
from tests.tiny_model import TinyBundle
from tests.watched_stores import Killed, Mortal

LAYOUT = Layout("default")
LATER = datetime.now(UTC) + timedelta(days=1)
N_WRITES = 10  # of publishing the tiny bundle


def half_published(store: Mortal, bundle: TinyBundle, n_writes: int) -> None:
    """Leave what a publisher leaves that dies at its n-th write, and let the store live on."""
    store.changes, store.die_at = [], n_writes
    with pytest.raises(Killed):
        Registry(store, "default").publish(*bundle)
    store.die_at = None


def left(store: MemoryStore) -> list[str]:
    return [info.key for info in store.list() if info.size_bytes]


@pytest.mark.parametrize("n_writes", range(1, N_WRITES))
def test_what_a_dead_publisher_left_is_removed_wherever_it_died(
    tiny_bundle: TinyBundle, n_writes: int
) -> None:
    store, version = Mortal(), tiny_bundle[0].version
    half_published(store, tiny_bundle, n_writes)
    assert left(store)

    assert remove_unfinished(store, "default", LATER) == [version]

    assert left(store) == []
    with pytest.raises(ObjectNotFound, match=f"no version {version} in collection default; there are: none"):
        Registry(store, "default").manifest(version)
    with pytest.raises(PreconditionFailed):
        Registry(store, "default").publish(*tiny_bundle)


def test_publishing_takes_as_many_writes_as_are_tried_here(tiny_bundle: TinyBundle) -> None:
    store = Mortal()
    Registry(store, "default").publish(*tiny_bundle)
    assert len(store.changes) == N_WRITES


def test_what_is_whole_young_or_still_worked_on_stays(
    registry: Registry, store: MemoryStore, publish: Callable[[str], Target]
) -> None:
    publish("whole")
    store.put(LAYOUT.model("part", ENCODER), b"weights")
    store.put(LAYOUT.exemplars("part"), b"{}")
    before = list(store.list())

    assert remove_unfinished(store, "default", LATER, ["part"]) == []
    assert remove_unfinished(store, "default", datetime.now(UTC) - timedelta(days=1)) == []
    assert list(store.list()) == before

    assert remove_unfinished(store, "default", LATER) == ["part"]
    assert remove_unfinished(store, "default", LATER) == []
    assert [manifest.version for manifest in registry.versions()] == ["whole"]
    assert [found.version for found in ClusterHistory(store, "default").versions()] == ["whole"]


@pytest.mark.parametrize("nth", range(N_WRITES))
def test_a_version_is_whole_or_gone_whenever_its_publisher_is_cleaned_up_after(
    tiny_bundle: TinyBundle, nth: int
) -> None:
    """The publisher was only stopped, before its n-th write, and goes on when all was removed."""
    store = Mortal()

    def clean_once(_: str) -> None:
        if len(store.changes) == nth:
            store.before = None
            remove_unfinished(store, "default", LATER)

    store.before = clean_once
    registry, version = Registry(store, "default"), tiny_bundle[0].version
    with suppress(PreconditionFailed):
        registry.publish(*tiny_bundle)

    assert_whole_or_gone(registry, version)
    assert bool(list(registry.versions())) == (nth == 0)  # then there was nothing to remove yet
    remove_unfinished(store, "default", LATER)
    assert_whole_or_gone(registry, version)
    assert len(left(store)) == (N_WRITES if nth == 0 else 0)


def test_racing_publishers_and_cleaners_leave_versions_whole_or_gone(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    store = SlowStore()
    registry = Registry(store, "default")

    def act(racer: int) -> object:
        if racer % 2:
            return [remove_unfinished(store, "default", LATER) for _ in range(20)]
        return registry.publish(manifest.model_copy(update={"version": f"v{racer}"}), files)

    race(act)

    for racer in range(0, RACERS, 2):
        assert_whole_or_gone(registry, f"v{racer}")
    whole = {manifest.version for manifest in registry.versions()}
    remove_unfinished(store, "default", LATER)
    assert {key.split("/")[2] for key in left(store) if key.startswith(LAYOUT.models())} == whole


def test_a_version_published_while_it_is_looked_at_stays_whole(tiny_bundle: TinyBundle) -> None:
    store = Mortal()
    registry, version = Registry(store, "default"), tiny_bundle[0].version
    half_published(store, tiny_bundle, N_WRITES - 1)
    store.before = lambda _: finish(store, tiny_bundle)  # between the cleaner's look and its first write

    assert remove_unfinished(store, "default", LATER) == []

    assert_whole_or_gone(registry, version)
    assert [manifest.version for manifest in registry.versions()] == [version]


def finish(store: Mortal, bundle: TinyBundle) -> None:
    store.before = None
    store.put(LAYOUT.model(bundle[0].version, MANIFEST), bundle[0].to_bytes(), create_only=True)


def assert_whole_or_gone(registry: Registry, version: str) -> None:
    try:
        _, target = registry.manifest(version)
    except ObjectNotFound:
        return
    for name in SERVING_FILES:
        registry.file(version, name)
    registry.load(target, "cpu")
