import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from model_store.manifest import LIBRARIES, Manifest, Version, libraries, new_version
from producer.errors import BundleInvalid
from tests.tiny_model import TinyBundle


def changed(manifest: Manifest, **fields: object) -> bytes:
    return json.dumps(json.loads(manifest.to_bytes()) | fields).encode()


def test_a_manifest_is_read_back_as_written(tiny_bundle: TinyBundle) -> None:
    manifest, _ = tiny_bundle

    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_a_field_of_a_later_version_is_ignored(tiny_bundle: TinyBundle) -> None:
    manifest, _ = tiny_bundle

    assert Manifest.from_bytes(changed(manifest, colour="blue")) == manifest


def test_a_newer_format_is_refused_by_name(tiny_bundle: TinyBundle) -> None:
    manifest, _ = tiny_bundle

    with pytest.raises(BundleInvalid, match=r"manifest\.json .* format_version"):
        Manifest.from_bytes(changed(manifest, format_version=3))


def test_a_missing_field_is_named(tiny_bundle: TinyBundle) -> None:
    fields = json.loads(tiny_bundle[0].to_bytes())
    del fields["n_clusters"], fields["architecture"]

    with pytest.raises(BundleInvalid, match="architecture, n_clusters"):
        Manifest.from_bytes(json.dumps(fields).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BundleInvalid, match=r"manifest\.json"):
        Manifest.from_bytes(data)


def test_an_unknown_architecture_is_refused_by_name(tiny_bundle: TinyBundle) -> None:
    manifest, _ = tiny_bundle
    architecture = manifest.architecture.model_dump() | {"name": "transformer-v9"}

    with pytest.raises(BundleInvalid, match=r"architecture\.name"):
        Manifest.from_bytes(changed(manifest, architecture=architecture))


def test_verify_passes_the_described_file_through(tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle

    assert all(manifest.verify(name, data) is data for name, data in files.items() if name in manifest.files)


@pytest.mark.parametrize("alter", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_verify_refuses_an_altered_file(tiny_bundle: TinyBundle, alter: "type[bytes]") -> None:
    manifest, files = tiny_bundle

    with pytest.raises(BundleInvalid, match=r"pca\.safetensors .* is not the file"):
        manifest.verify("pca.safetensors", alter(files["pca.safetensors"]))


def test_verify_refuses_a_file_that_is_missing_or_not_listed(tiny_bundle: TinyBundle) -> None:
    manifest, _ = tiny_bundle

    with pytest.raises(BundleInvalid, match=r"lacks pca\.safetensors"):
        manifest.verify("pca.safetensors", None)
    with pytest.raises(BundleInvalid, match=r"lists no extra\.bin"):
        manifest.verify("extra.bin", b"")


def test_versions_sort_by_time_and_differ_within_a_second() -> None:
    now = datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC)
    later = [new_version(now + timedelta(seconds=n)) for n in range(5)]

    assert later == sorted(later)
    assert len({new_version(now) for _ in range(50)}) == 50


def test_a_new_version_may_be_part_of_a_key() -> None:
    names = TypeAdapter(Version)

    assert names.validate_python(new_version())
    with pytest.raises(ValidationError):
        names.validate_python("../v1")


def test_the_libraries_that_decide_numbers_are_noted_without_build_tags() -> None:
    noted = libraries()

    assert set(noted) == set(LIBRARIES)
    assert not any("+" in version for version in noted.values())
