import pytest

from model_store.bundle_files import DECODER, MODEL_CARD, REFERENCE, SERVING_FILES
from model_store.layout import MANIFEST, Layout
from model_store.manifest import sha256
from producer.errors import BundleInvalid
from tests.system.running_platform import Platform, wait_until


def copy_of(platform: Platform, good: str, version: str) -> str:
    """Publish a good version once more under another name; gives the digest of its manifest."""
    layout, registry = Layout(platform.collection), platform.registry()
    manifest, target = registry.manifest(good)
    files = {name: platform.store.get(layout.model(target.version, name)).data for name in manifest.files}
    return registry.publish(manifest.model_copy(update={"version": version}), files).sha256


def refusal(platform: Platform) -> dict[str, object]:
    found = [worker["refused"].get(platform.collection, {}) for worker in platform.workers()]
    return found[0] if found else {}


def spoil(platform: Platform, version: str, file: str, how: str) -> None:
    key = Layout(platform.collection).model(version, file)
    if how == "missing":
        platform.store.delete(key)
        return
    data = bytearray(platform.store.get(key).data)
    data[len(data) // 2] ^= 1
    platform.store.put(key, bytes(data))


def test_a_broken_champion_is_refused_by_its_file_and_the_old_model_serves_on(serving: Platform) -> None:
    good = serving.registry().current().version
    (ref,) = serving.upload_kinds("probe", 1)
    serving.results([ref], serving.submit([ref]))  # the worker serves the collection
    cases = [(file, how) for file in (*SERVING_FILES, MANIFEST) for how in ("tampered", "missing")]
    for nth, (file, how) in enumerate(cases, start=1):
        version = f"broken-{nth}"
        digest = copy_of(serving, good, version)
        spoil(serving, version, file, how)
        generation = serving.move_champion_by_force(version, digest).generation
        wait_until(lambda g=generation: refusal(serving).get("generation") == g, 60, f"{file} {how}")  # type: ignore[misc]
        told = refusal(serving)
        assert told["total"] == nth
        of_it = {"collection": serving.collection}
        assert serving.metrics("shoal_models_refused_total", **of_it) == nth
        assert serving.metrics("shoal_model_refused", **of_it) == 1
        assert file in str(told["reason"])
        answer = serving.results([ref], serving.submit([ref]))[ref.image_id]
        assert answer.model is not None
        assert answer.model.version == good
    serving.registry().promote(good)
    wait_until(lambda: refusal(serving).get("generation") is None, 60, "all is well again")
    assert serving.metrics("shoal_model_refused", collection=serving.collection) == 0


def test_a_manifest_of_a_newer_format_is_refused_and_the_old_model_serves_on(serving: Platform) -> None:
    good = serving.registry().current().version
    (ref,) = serving.upload_kinds("probe", 1)
    serving.results([ref], serving.submit([ref]))
    copy_of(serving, good, "newer")
    key = Layout(serving.collection).model("newer", MANIFEST)
    data = serving.store.get(key).data.replace(b'"format_version": 2', b'"format_version": 3')
    serving.store.put(key, data)
    serving.move_champion_by_force("newer", sha256(data))
    wait_until(lambda: refusal(serving).get("total") == 1, 60, "it is refused")
    assert "manifest.json cannot be read by this version of Shoal: format_version" in str(
        refusal(serving)["reason"]
    )
    answer = serving.results([ref], serving.submit([ref]))[ref.image_id]
    assert answer.model is not None
    assert answer.model.version == good
    status = serving.shoal("status")
    assert status["workers"][0]["refused"][serving.collection]["total"] == 1


@pytest.mark.parametrize("how", ["tampered", "missing"])
@pytest.mark.parametrize("file", [DECODER, REFERENCE, MODEL_CARD])
def test_a_broken_file_that_no_worker_reads_is_refused_by_whoever_reads_it(
    serving: Platform, file: str, how: str
) -> None:
    version = serving.registry().current().version
    spoil(serving, version, file, how)
    with pytest.raises(BundleInvalid, match=file):
        serving.registry().file(version, file)
