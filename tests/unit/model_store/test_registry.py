from collections.abc import Callable

import pytest

from model_store.bundle_files import DECODER, MODEL_CARD, REFERENCE, SERVING_FILES
from model_store.layout import MANIFEST, Layout
from model_store.object_store import MemoryStore
from model_store.registry import Registry, Target
from producer.errors import BundleInvalid, NoChampion, ObjectNotFound, PreconditionFailed
from tests.tiny_model import TinyBundle

LAYOUT = Layout("default")


EVERY_FILE = (*SERVING_FILES, REFERENCE, DECODER, MODEL_CARD)


class Watched(MemoryStore):
    """Notes, after each write, its key and the versions that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[str]]] = []

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        etag = super().put(key, data, create_only=create_only, if_match=if_match)
        self.seen.append((key, [manifest.version for manifest in Registry(self, "default").versions()]))
        return etag


Publish = Callable[[str], Target]


def test_a_version_is_seen_only_when_all_its_files_are_there(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    store = Watched()

    Registry(store, "default").publish(manifest.model_copy(update={"version": "v1"}), files)

    *parts, (last, seen_at_last) = store.seen
    assert {key for key, _ in parts} == {
        LAYOUT.exemplars("v1"),
        *(LAYOUT.model("v1", name) for name in EVERY_FILE),
    }
    assert all(seen == [] for _, seen in parts)
    assert (last, seen_at_last) == (LAYOUT.model("v1", MANIFEST), ["v1"])


def test_publishing_promotes_nothing(registry: Registry, publish: Publish) -> None:
    publish("v1")

    assert registry.alias("champion") is None
    with pytest.raises(NoChampion, match=r"default has no model yet: .*shoal train"):
        registry.current()


def test_a_version_is_written_once(store: MemoryStore, registry: Registry, publish: Publish) -> None:
    publish("v1")
    before = list(store.list())

    with pytest.raises(PreconditionFailed):
        publish("v1")

    assert list(store.list()) == before
    assert [manifest.version for manifest in registry.versions()] == ["v1"]


@pytest.mark.parametrize("name", EVERY_FILE)
def test_files_that_the_manifest_does_not_describe_are_not_published(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle, name: str
) -> None:
    manifest, files = tiny_bundle

    with pytest.raises(BundleInvalid, match=name):
        registry.publish(manifest, {**files, name: b"something else"})
    with pytest.raises(BundleInvalid, match=name):
        registry.publish(manifest, {other: files[other] for other in files if other != name})

    assert list(store.list()) == []


def test_versions_are_listed_oldest_first(registry: Registry, publish: Publish) -> None:
    for version in ("20260301-b", "20260101-c", "20260201-a"):
        publish(version)

    assert [m.version for m in registry.versions()] == ["20260101-c", "20260201-a", "20260301-b"]


def test_an_unknown_version_is_not_promoted_and_the_known_are_named(
    registry: Registry, publish: Publish
) -> None:
    publish("v1")

    with pytest.raises(ObjectNotFound, match="no version v2 in collection default; there are: v1"):
        registry.promote("v2")

    assert registry.alias("champion") is None


def test_a_promoted_version_loads(registry: Registry, publish: Publish) -> None:
    target = publish("v1")

    alias = registry.promote("v1", reason="first")

    assert (alias.version, alias.sha256, alias.generation) == ("v1", target.sha256, 1)
    assert registry.current() == alias
    assert registry.load(alias, "cpu").manifest.version == "v1"
