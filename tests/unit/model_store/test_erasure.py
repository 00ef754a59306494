import contextlib
import json

import numpy as np
import pytest
from safetensors.numpy import save

from model_store.bundle_files import EXEMPLARS, REFERENCE, listed
from model_store.dead_letters import DeadLetters
from model_store.erasure import Erasure
from model_store.erasure_record import ErasureRecord
from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.membership import name_hashes
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.results import Results
from model_store.tombstones import Tombstones
from producer.contracts import ImageRef, Result
from producer.errors import InvalidReference, ObjectNotFound, PreconditionFailed, StoreUnavailable
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle

DEFAULT = Layout("default")


def answer(store: MemoryStore, *image_ids: str, collection: str = "default") -> str:
    """What a worker leaves of one message."""
    message_id = new_ulid()
    refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in image_ids]
    results = [
        Result(image_id=i, collection=collection, status="assigned", message_id=message_id) for i in image_ids
    ]
    Results(store, collection).save(results)
    Ledger(store, collection).append(message_id, refs, results, [np.zeros(2, np.float32)] * len(refs))
    return Layout(collection).ledger_part(message_id)


class Place:
    def __init__(self, store: MemoryStore) -> None:
        self.store, self.uploads = store, MemoryStore()
        self.uploads.put_many({"img_1.png": b"1", "img_2.png": b"2"})
        self.erasure = Erasure(store, "default", {"uploads": self.uploads})

    def named(self, image_id: str) -> list[str]:
        return [mention.key for mention in self.erasure.verify([image_id])]


@pytest.fixture
def place(store: MemoryStore, tiny_bundle: TinyBundle) -> Place:
    """A picture in every place that names one, beside others."""
    place = Place(store)
    for ids in (("img_1", "img_2"), ("img_1",), ("img_2", "img_10")):
        answer(store, *ids)
    images = [{"image_id": i, "bucket": "uploads", "key": f"{i}.png"} for i in ("img_1", "img_2")]
    DeadLetters(store, "default").keep(new_ulid(), {"kwargs": {"images": images}}, "img_1 is odd")
    store.put("default/jobs/job_1/part-1.parquet", store.get(answer(store, "img_1", "img_3")).data)
    refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in ("img_1", "img_3")]
    results = [
        Result(image_id=ref.image_id, collection="default", status="failed", message_id=new_ulid())
        for ref in refs
    ]
    JobParts(store, "default").save("job_2", new_ulid(), part_of(new_ulid(), 2, refs, results, []))
    store.put("default/runs/r/report.html", b"<img alt='img_1'>")
    manifest, files = tiny_bundle
    files = {
        **files,
        EXEMPLARS: json.dumps({"c_0000": ["img_1", "img_2"]}).encode(),
        REFERENCE: save({"seen": np.sort(name_hashes(["img_1", "img_5"]))}),
    }
    snapshot = manifest.snapshot.model_copy(update={"source": "ledger"})
    manifest = manifest.model_copy(update={"snapshot": snapshot, "files": listed(files)})
    Registry(store, "default").publish(manifest, files)
    return place


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

    record = place.erasure.run(["img_1", "img_2", "img_5"])

    assert record.learnt_by == {manifest.version: ("img_1", "img_5")}
    assert record.unknown_models == ("older",)
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


class Failing(MemoryStore):
    """Fails at the n-th change."""

    def __init__(self, whole: MemoryStore, at: int) -> None:
        super().__init__()
        self.left = -1
        for info in whole.list():
            super().put(info.key, whole.get(info.key).data)
        self.left = at

    def change(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StoreUnavailable("away")

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        self.change()
        return super().put(key, data, create_only=create_only, if_match=if_match)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        self.change()
        super().delete(key, if_match=if_match)


def test_an_erasure_that_was_cut_short_anywhere_is_completed_by_the_next(place: Place) -> None:
    at = 0
    while True:
        at += 1
        store, uploads = Failing(place.store, at), MemoryStore()
        uploads.put("img_1.png", b"1")
        erasure = Erasure(store, "default", {"uploads": uploads})
        try:
            erasure.run(["img_1"], request="r", originals=True)
        except StoreUnavailable:
            erasure.run(["img_1"], request="r", originals=True)
            assert list(erasure.verify(["img_1"])) == []
            assert list(uploads.list()) == []
            continue
        break
    assert at > 10


def test_a_part_that_is_rewritten_meanwhile_is_looked_at_again(place: Place) -> None:
    part = answer(place.store, "img_1", "img_2")
    both = place.store.get(part).data

    class Racing(MemoryStore):
        raced = False

        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            if key == part and if_match and not self.raced:  # a second delivery, between reading and writing
                self.raced = True
                super().put(key, both + b" ")
                super().put(key, both)
                super().delete(key)
                super().put(key, both)
                if_match = "other"
            return super().put(key, data, create_only=create_only, if_match=if_match)

    racing = Racing()
    vars(racing).update(vars(place.store))
    Erasure(racing, "default", {}).run(["img_1"])
    assert racing.raced
    assert place.named("img_1") == []


def test_what_appears_while_it_looks_is_found_by_the_second_look(place: Place) -> None:
    part = place.store.get(answer(place.store, "img_1", "img_9")).data
    passed_already = "default/ledger/compacted.parquet"

    def compact(_: int) -> None:
        with contextlib.suppress(PreconditionFailed):
            place.store.put(passed_already, part, create_only=True)

    place.erasure.run(["img_1"], on_progress=compact)

    assert place.named("img_1") == []
    assert place.named("img_9")


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
