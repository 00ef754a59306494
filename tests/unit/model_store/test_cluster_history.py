from model_store.cluster_history import ClusterHistory
from model_store.layout import MANIFEST, Layout
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from tests.tiny_model import TinyBundle

IDS = {"c_0000", "c_0001", "c_0002"}


def test_a_version_without_its_manifest_is_not_shown_and_its_ids_are_taken(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle
) -> None:
    manifest, files = tiny_bundle
    registry.publish(manifest, files)
    history = ClusterHistory(store, "default")
    assert [version for version, _ in history.versions()] == [manifest.version]

    store.delete(Layout("default").model(manifest.version, MANIFEST))

    assert list(history.versions()) == []
    assert history.ids() == IDS
