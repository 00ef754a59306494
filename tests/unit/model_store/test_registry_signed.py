"""Where keys are pinned: what somebody who can write to the bucket achieves, and what not."""

from collections.abc import Mapping

import pytest

from model_store.bundle_files import DECODER, ENCODER
from model_store.layout import MANIFEST, Layout
from model_store.manifest import Manifest, sha256
from model_store.object_store import MemoryStore
from model_store.registry import Registry, Target
from model_store.signature import SIGNATURE, Signer, TrustedKeys
from producer.errors import BundleInvalid, ObjectNotFound
from tests.tiny_model import TinyBundle, make_tiny_bundle

LAYOUT = Layout("default")
KEY = Signer.generate()
PINNED = TrustedKeys([KEY.public_key])


@pytest.fixture
def signed(store: MemoryStore) -> Registry:
    """A registry that signs, and trusts what it signed."""
    return Registry(store, "default", trusted=PINNED, signer=KEY)


@pytest.fixture
def target(signed: Registry, tiny_bundle: TinyBundle) -> Target:
    return signed.publish(*named(tiny_bundle, "v1"))


def named(bundle: TinyBundle, version: str, collection: str = "default") -> TinyBundle:
    manifest, files = bundle
    return manifest.model_copy(update={"version": version, "collection": collection}), files


def overwrite(store: MemoryStore, manifest: Manifest, files: Mapping[str, bytes], version: str) -> Target:
    """Exchange what is published, every digest right, as whoever can write to the bucket may."""
    data = manifest.to_bytes()
    for name, content in {**files, MANIFEST: data}.items():
        store.put(LAYOUT.model(version, name), content)
    return Target(version=version, sha256=sha256(data))


def test_a_signed_model_loads_and_is_promoted(signed: Registry, target: Target) -> None:
    assert signed.load(signed.promote("v1"), "cpu").sha256 == target.sha256


def test_a_bundle_whose_digests_were_all_made_anew_is_refused(
    store: MemoryStore, signed: Registry, target: Target
) -> None:
    forged = overwrite(store, *named(make_tiny_bundle(seed=1), "v1"), "v1")

    assert Registry(store, "default").load(forged, "cpu")  # without pinned keys nothing is wrong with it
    with pytest.raises(BundleInvalid, match=r"manifest\.sig of version v1 is not a signature"):
        signed.load(forged, "cpu")
    for read in (signed.manifest, signed.promote, signed.decoder):
        with pytest.raises(BundleInvalid, match=r"manifest\.sig"):
            read("v1")


def test_a_version_without_a_signature_is_refused_and_says_what_to_do(
    store: MemoryStore, signed: Registry, tiny_bundle: TinyBundle
) -> None:
    unsigned = Registry(store, "default").publish(*named(tiny_bundle, "v2"))

    with pytest.raises(BundleInvalid, match=r"version v2 lacks manifest\.sig.*shoal models sign"):
        signed.load(unsigned, "cpu")
    with pytest.raises(BundleInvalid, match=r"lacks manifest\.sig"):
        signed.promote("v2")


def test_a_signature_is_of_no_use_for_another_version(
    store: MemoryStore, signed: Registry, target: Target, tiny_bundle: TinyBundle
) -> None:
    manifest, files = named(tiny_bundle, "v1")
    copied = overwrite(store, manifest, files, "v2")
    store.put(LAYOUT.model("v2", SIGNATURE), store.get(LAYOUT.model("v1", SIGNATURE)).data)

    with pytest.raises(BundleInvalid, match=r"of version v2 .* is that of version v1"):
        signed.load(copied, "cpu")


def test_a_signature_is_of_no_use_for_another_collection(
    store: MemoryStore, signed: Registry, tiny_bundle: TinyBundle
) -> None:
    cats = Registry(store, "cats", trusted=PINNED, signer=KEY)
    there = cats.publish(*named(tiny_bundle, "v1", "cats"))
    for info in list(store.list("cats/models/")):
        store.put(info.key.replace("cats/", "default/"), store.get(info.key).data)

    assert cats.load(there, "cpu")
    with pytest.raises(BundleInvalid, match=r"of collection default is that of .* collection cats"):
        signed.load(there, "cpu")


def test_a_signed_manifest_still_pins_every_file(
    store: MemoryStore, signed: Registry, target: Target
) -> None:
    others = make_tiny_bundle(seed=1)[1]
    store.put(LAYOUT.model("v1", ENCODER), others[ENCODER])
    store.put(LAYOUT.model("v1", DECODER), others[DECODER])

    with pytest.raises(BundleInvalid, match=r"encoder\.safetensors of version v1 is not the file"):
        signed.load(target, "cpu")
    with pytest.raises(BundleInvalid, match=r"decoder\.safetensors of version v1 is not the file"):
        signed.decoder("v1")


def test_what_would_be_refused_is_not_published(store: MemoryStore, tiny_bundle: TinyBundle) -> None:
    for signer in (None, Signer.generate()):
        with pytest.raises(BundleInvalid, match=r"manifest\.sig"):
            Registry(store, "default", trusted=PINNED, signer=signer).publish(*tiny_bundle)
    assert list(store.list()) == []


def test_a_rollback_to_what_is_not_trusted_is_refused(
    store: MemoryStore, signed: Registry, target: Target, tiny_bundle: TinyBundle
) -> None:
    unsigned = Registry(store, "default")
    unsigned.publish(*named(tiny_bundle, "v0"))
    unsigned.promote("v0")
    signed.promote("v1")

    with pytest.raises(BundleInvalid, match=r"version v0 lacks manifest\.sig"):
        signed.rollback()
    assert signed.current().version == "v1"


def test_signing_a_published_version_makes_it_trusted_also_by_a_new_key(
    store: MemoryStore, signed: Registry, target: Target, tiny_bundle: TinyBundle
) -> None:
    new = Signer.generate()
    rotated = Registry(store, "default", trusted=TrustedKeys([new.public_key]), signer=new)
    with pytest.raises(BundleInvalid, match=r"manifest\.sig"):
        rotated.load(target, "cpu")

    rotated.sign("v1", new)

    assert rotated.load(target, "cpu").sha256 == target.sha256
    with pytest.raises(ObjectNotFound, match="no version v9"):
        rotated.sign("v9", new)


def test_a_signed_manifest_of_a_newer_format_is_refused_as_that(
    store: MemoryStore, signed: Registry, target: Target
) -> None:
    newer = store.get(LAYOUT.model("v1", MANIFEST)).data.replace(
        b'"format_version": 2', b'"format_version": 3'
    )
    store.put(LAYOUT.model("v1", MANIFEST), newer)
    store.put(LAYOUT.model("v1", SIGNATURE), KEY.sign(newer))

    with pytest.raises(BundleInvalid, match=r"cannot be read by this version of Shoal: format_version"):
        signed.load(Target(version="v1", sha256=sha256(newer)), "cpu")


def test_the_signature_is_there_before_the_manifest(signed: Registry, tiny_bundle: TinyBundle) -> None:
    written: list[str] = []

    class Noting(MemoryStore):
        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            written.append(key.rpartition("/")[2])
            return super().put(key, data, create_only=create_only, if_match=if_match)

    Registry(Noting(), "default", trusted=PINNED, signer=KEY).publish(*tiny_bundle)

    assert written[-1] == MANIFEST
    assert SIGNATURE in written


def test_what_was_exchanged_after_an_alias_named_it_is_not_signed_by_that_alias(
    store: MemoryStore, signed: Registry, tiny_bundle: TinyBundle
) -> None:
    unsigned = Registry(store, "default")
    promoted = unsigned.publish(*named(tiny_bundle, "v1"))
    forged = overwrite(store, *named(make_tiny_bundle(seed=1), "v1"), "v1")

    with pytest.raises(BundleInvalid, match=r"manifest\.json of version v1 is not the one that was promoted"):
        signed.sign(promoted, KEY)
    with pytest.raises(ObjectNotFound):
        store.get(LAYOUT.model("v1", SIGNATURE))

    signed.sign(forged, KEY)
    assert signed.manifest("v1")
