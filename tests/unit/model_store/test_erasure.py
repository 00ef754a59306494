import json

import numpy as np
import pytest
from safetensors.numpy import save

from model_store.bundle_files import REFERENCE, listed
from model_store.dead_letters import DeadLetters
from model_store.erasure import Erasure
from model_store.erasure_record import ErasureRecord
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.results import Results
from model_store.tombstones import Tombstones
from producer.errors import InvalidReference, ObjectNotFound, StoreUnavailable
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle
from tests.unit.model_store.erasable import DEFAULT, Place, answer, filled


@pytest.fixture
def place(store: MemoryStore, tiny_bundle: TinyBundle) -> Place:
    return filled(store, tiny_bundle)


def test_nothing_names_an_erased_picture_and_all_else_stays(place: Place) -> None:
    assert place.named("img_1")
    before = {key: place.named(key) for key in ("img_2", "img_3", "img_10")}

    record = place.erasure.run(["img_1"], request="r1")

    assert place.named("img_1") == []
    after = {key: place.named(key) for key in before}
    assert after == before
    assert record.state == "done"
    assert record.removed == {"dead": 2, "exemplars": 1, "jobs": 2, "ledger": 3, "results": 1, "runs": 1}
    assert json.loads(place.store.get(DEFAULT.erasure("r1")).data) == record.model_dump(mode="json")
    assert sorted(info.key for info in place.uploads.list()) == ["img_1.png", "img_2.png"]


def test_the_record_says_which_models_had_learnt_from_it(place: Place, tiny_bundle: TinyBundle) -> None:
    manifest, files = tiny_bundle
    snapshot = manifest.snapshot.model_copy(update={"source": "ledger"})
    older = manifest.model_copy(update={"version": "older", "snapshot": snapshot})
    registry = Registry(place.store, "default")
    without = {**files, REFERENCE: save({"shares": np.zeros(3, np.float32)})}
    registry.publish(older.model_copy(update={"files": listed(without)}), without)
    registry.publish(tiny_bundle[0].model_copy(update={"version": "of-a-folder"}), files)

    record = place.erasure.run(["img_1", "img_2", "img_5"])

    assert record.learnt_by == {manifest.version: ("img_1", "img_5")}
    assert record.unknown_models == ("of-a-folder", "older")
    registry.promote(manifest.version)
    assert registry.load(registry.current(), "cpu").manifest.version == manifest.version  # still whole


def test_originals_go_only_when_asked_for(place: Place) -> None:
    assert place.erasure.run(["img_1"], originals=True).removed["originals"] == 1
    assert [info.key for info in place.uploads.list()] == ["img_2.png"]


def test_an_original_in_a_bucket_out_of_reach_is_said_to_remain(place: Place) -> None:
    record = Erasure(place.store, "default", {}).run(["img_1"], originals=True)
    assert record.remains == (
        "the original s3://uploads/img_1.png: uploads is not among the uploads buckets",
    )


def test_erasing_again_changes_nothing(place: Place) -> None:
    first = place.erasure.run(["img_1"], request="r1")
    again = place.erasure.run(["img_1"], request="r1")
    assert again.removed == first.removed
    assert place.erasure.run(["img_1"]).removed == {}


def test_another_collection_is_left_alone_and_verify_tells_of_it(place: Place) -> None:
    answer(place.store, "img_1", collection="cats")
    place.erasure.run(["img_1"])
    assert {key.split("/")[0] for key in place.named("img_1")} == {"cats"}
    Erasure(place.store, "cats", {}).run(["img_1"])
    assert list(Results(place.store, "cats").get_many(["img_1"])) == []


def test_letters_of_unreadable_messages_are_searched_for_every_collection(store: MemoryStore) -> None:
    DeadLetters(store, "default").keep(new_ulid(), None, "broken", raw=b'{"image_id": "img_1", ')
    Erasure(store, "cats", {}).run(["img_1"])
    assert not any(b"img_1" in store.get(info.key).data for info in store.list("default/"))


def test_the_tombstone_comes_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(place.store, "delete", away)
    with pytest.raises(StoreUnavailable):
        place.erasure.run(["img_1"], request="r")
    assert Tombstones(place.store, "default").now() == {"img_1"}
    record = ErasureRecord.model_validate_json(place.store.get(DEFAULT.erasure("r")).data)
    assert record.state == "running"


@pytest.mark.parametrize(
    ("ids", "request_id"), [(["a/b"], "r"), (["../x"], "r"), (["a"], "r/../x"), ([], "r")]
)
def test_ids_that_cannot_be_are_refused(store: MemoryStore, ids: list[str], request_id: str) -> None:
    with pytest.raises(InvalidReference):
        Erasure(store, "default", {}).run(ids, request=request_id)
    assert list(store.list()) == []


def test_a_picture_without_a_result_is_erased_too(store: MemoryStore) -> None:
    record = Erasure(store, "default", {}).run(["never"])
    assert record.removed == {}
    assert Tombstones(store, "default").now() == {"never"}
    with pytest.raises(ObjectNotFound):
        Results(store, "default").get("never")
