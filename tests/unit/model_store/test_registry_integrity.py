import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle_files import DECODER, MODEL_CARD, REFERENCE, SERVING_FILES
from model_store.layout import MANIFEST, Layout
from model_store.manifest import sha256
from model_store.object_store import MemoryStore
from model_store.registry import Registry, Target
from producer.errors import BundleInvalid
from tests.tiny_model import TinyBundle

LAYOUT = Layout("default")
EVERY_FILE = (*SERVING_FILES, REFERENCE, DECODER, MODEL_CARD)


@pytest.fixture
def target(registry: Registry, tiny_bundle: TinyBundle) -> Target:
    """The tiny bundle, published as version v1."""
    manifest, files = tiny_bundle
    return registry.publish(manifest.model_copy(update={"version": "v1"}), files)


def read(registry: Registry, target: Target, name: str) -> None:
    """Read a file as its reader does: the worker loads the serving files, reports ask for one."""
    if name in SERVING_FILES:
        registry.load(target, "cpu")
    else:
        registry.file(target.version, name)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_one_altered_byte_is_refused_and_the_file_named(
    store: MemoryStore, registry: Registry, target: Target, name: str
) -> None:
    key = LAYOUT.model("v1", name)
    data = bytearray(store.get(key).data)
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))

    with pytest.raises(BundleInvalid, match=f"{name} of version v1 is not the file"):
        read(registry, target, name)


@given(data=st.data(), name=st.sampled_from(EVERY_FILE))
def test_any_bit_of_any_file_counts_and_the_file_is_named(
    tiny_bundle: TinyBundle, data: st.DataObject, name: str
) -> None:
    manifest, files = tiny_bundle
    content = bytearray(files[name])
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BundleInvalid, match=f"{name} of version .* is not the file"):
        manifest.verify(name, bytes(content))


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_missing_file_is_refused_and_named(
    store: MemoryStore, registry: Registry, target: Target, name: str
) -> None:
    store.delete(LAYOUT.model("v1", name))

    with pytest.raises(BundleInvalid, match=f"version v1 lacks {name}"):
        read(registry, target, name)


def test_a_manifest_that_was_not_promoted_is_refused(
    store: MemoryStore, registry: Registry, target: Target
) -> None:
    key = LAYOUT.model("v1", MANIFEST)
    store.put(key, store.get(key).data.replace(b'"n_images": 60', b'"n_images": 61'))

    with pytest.raises(BundleInvalid, match="is not the one that was promoted"):
        registry.load(target, "cpu")
    for use in (registry.manifest, registry.promote, lambda named: registry.file(named, MODEL_CARD)):
        with pytest.raises(BundleInvalid, match="is not the one that was promoted"):
            use(target)
    assert registry.alias("champion") is None


def test_nobody_goes_back_to_a_manifest_that_was_exchanged(
    store: MemoryStore, registry: Registry, target: Target, tiny_bundle: TinyBundle
) -> None:
    manifest, files = tiny_bundle
    registry.promote(target)
    champion = registry.promote(registry.publish(manifest.model_copy(update={"version": "v2"}), files))
    key = LAYOUT.model("v1", MANIFEST)
    store.put(key, store.get(key).data.replace(b'"n_images": 60', b'"n_images": 61'))

    with pytest.raises(BundleInvalid, match="of version v1 is not the one that was promoted"):
        registry.rollback()
    assert registry.alias("champion") == champion


def test_a_missing_manifest_is_refused(store: MemoryStore, registry: Registry, target: Target) -> None:
    store.delete(LAYOUT.model("v1", MANIFEST))

    with pytest.raises(BundleInvalid, match=r"lacks manifest\.json"):
        registry.load(target, "cpu")


def test_a_manifest_of_a_newer_format_is_refused(
    store: MemoryStore, registry: Registry, target: Target
) -> None:
    key = LAYOUT.model(target.version, MANIFEST)
    newer = store.get(key).data.replace(b'"format_version": 2', b'"format_version": 3')
    store.put(key, newer)

    with pytest.raises(BundleInvalid, match="format_version"):
        registry.load(Target(version=target.version, sha256=sha256(newer)), "cpu")
