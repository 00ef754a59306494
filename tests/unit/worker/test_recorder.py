import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np
import pytest

from model_store.cluster_names import ClusterNames
from model_store.erasure import Erasure
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore, StoredObject
from model_store.results import Results
from model_store.tombstones import Tombstones
from producer.contracts import Alternative, ClassifyImages, Cluster, Failure, ImageRef, ModelStamp, Result
from producer.errors import ObjectNotFound, ShoalError, StoreUnavailable
from tests.watched_stores import ErasedMeanwhile
from worker.recorder import Recorder


def message(*image_ids: str, reclassify: bool = False) -> ClassifyImages:
    refs = tuple(ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in image_ids)
    return ClassifyImages(images=refs, reclassify=reclassify)


def answers(message: ClassifyImages, **fields: object) -> list[Result]:
    return [
        Result.model_validate(
            {
                "image_id": ref.image_id,
                "collection": "default",
                "message_id": message.message_id,
                "status": "assigned",
                "cluster": Cluster(id="c_b", index=1),
                "alternatives": (Alternative(id="c_a", distance=2), Alternative(id="c_d", distance=3)),
                "model": ModelStamp(version="v", sha256="0", generation=1),
            }
            | fields
        )
        for ref in message.images
    ]


def record(store: MemoryStore, message: ClassifyImages, **fields: object) -> None:
    projections = [np.zeros(2, np.float32)] * len(message.images)
    residuals = [0.5] * len(message.images)
    Recorder(store, "default", 0.0).record(message, answers(message, **fields), projections, residuals)


def kept(store: MemoryStore) -> tuple[set[str], set[str]]:
    """The pictures that have a result, and those in the ledger."""
    results = {info.key.rpartition("/")[2].removesuffix(".json") for info in store.list("default/results/")}
    return results, {row.ref.image_id for row in Ledger(store, "default").rows()}


def test_results_and_rows_are_kept(store: MemoryStore) -> None:
    record(store, message("a", "b"))
    assert kept(store) == ({"a", "b"}, {"a", "b"})


def test_an_erased_picture_of_a_late_message_is_passed_over(store: MemoryStore) -> None:
    Tombstones(store, "default").set(["a"], "r")
    record(store, message("a", "b"))
    record(store, message("a"))
    assert kept(store) == ({"b"}, {"b"})
    assert list(Erasure(store, "default", {}).verify(["a"])) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 4))
def test_a_picture_erased_while_its_message_is_written_does_not_come_back(at: int, *, after: bool) -> None:
    store = ErasedMeanwhile("default", at, after=after)
    work = message("a", "b")
    recorder = Recorder(store, "default", 0.0)
    recorder._tombstones.recent()  # looked a moment ago, and saw nothing
    recorder.record(work, answers(work), [None, None], [None, None])
    assert store.erasing
    assert kept(store) == ({"b"}, {"b"})
    assert list(Erasure(store, "default", {}).verify(["a"])) == []


def test_a_worker_that_dies_between_writing_and_looking_is_mended_by_the_redelivery(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: Tombstones) -> frozenset[str]:
        raise StoreUnavailable("killed here")

    work = message("a", "b")
    dying = Recorder(store, "default", 0.0)
    dying._tombstones.recent()
    Erasure(store, "default", {}).run(["a"])
    with monkeypatch.context() as moment:
        moment.setattr(Tombstones, "now", dies)
        with pytest.raises(StoreUnavailable):
            dying.record(work, answers(work), [None, None], [None, None])
    assert "a" in kept(store)[0]
    record(store, work)
    assert kept(store) == ({"b"}, {"b"})


def test_a_renewal_that_could_not_be_read_leaves_the_result_that_there_is(store: MemoryStore) -> None:
    record(store, message("a"))
    failure = {"status": "rejected", "cluster": None, "error": Failure(code="fetch.not_found", detail="x")}
    record(store, message("a", reclassify=True), **failure)
    assert Results(store, "default").get("a").status == "assigned"
    record(store, message("a"), **failure)
    assert Results(store, "default").get("a").status == "rejected"


def test_a_renewal_by_an_older_model_never_replaces_a_newer_result(store: MemoryStore) -> None:
    record(store, message("a"), model=ModelStamp(version="v2", sha256="0", generation=2))
    record(store, message("a", reclassify=True), model=ModelStamp(version="v1", sha256="0", generation=1))
    found = Results(store, "default").get("a")
    assert found.model is not None
    assert found.model.version == "v2"


def test_names_that_people_gave_stand_on_new_results(store: MemoryStore) -> None:
    ClusterNames(store, "default").name("c_b", "invoices")
    record(store, message("a"))
    cluster = Results(store, "default").get("a").cluster
    assert cluster == Cluster(id="c_b", name="invoices", index=1)


def test_a_merged_cluster_is_answered_as_the_other_and_the_ledger_keeps_the_models_own(
    store: MemoryStore,
) -> None:
    names = ClusterNames(store, "default")
    names.name("c_a", "paper")
    names.merge("c_b", "c_a")
    record(store, message("a"))
    result = Results(store, "default").get("a")
    assert result.cluster == Cluster(id="c_a", name="paper", index=1, assigned_id="c_b")
    assert [other.id for other in result.alternatives] == ["c_d"]
    assert [row.cluster_id for row in Ledger(store, "default").rows()] == ["c_b"]


class Away(MemoryStore):
    """Some keys cannot be read."""

    away: Mapping[str, ShoalError] = MappingProxyType({})

    def get(self, key: str) -> StoredObject:
        if key in self.away:
            raise self.away[key]
        return super().get(key)


def test_names_that_cannot_be_read_for_a_moment_stay_as_they_were_known() -> None:
    store = Away()
    ClusterNames(store, "default").name("c_b", "invoices")
    recorder = Recorder(store, "default", 0.0)
    for image_id in ("a", "b"):
        work = message(image_id)
        recorder.record(work, answers(work), [None], [None])
        store.away = {"default/clusters.json": StoreUnavailable("away")}
    store.away = {}
    found = [Results(store, "default").get(image_id).cluster for image_id in ("a", "b")]
    assert [cluster.name for cluster in found if cluster] == ["invoices", "invoices"]


def test_nobody_waits_for_another_who_reads_the_names() -> None:
    reading, go = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        slow = False

        def get(self, key: str) -> StoredObject:
            if self.slow and key == "default/clusters.json":
                reading.set()
                assert go.wait(10)
            return super().get(key)

    store = Slow()
    ClusterNames(store, "default").name("c_b", "invoices")
    recorder = Recorder(store, "default", 0.0)

    def recorded(image_id: str) -> None:
        work = message(image_id)
        recorder.record(work, answers(work), [None], [None])

    recorded("a")
    store.slow = True
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(recorded, "b")
        assert reading.wait(10)
        try:
            threads.submit(recorded, "c").result(5)
        finally:
            go.set()
        slow.result(5)
    cluster = Results(store, "default").get("c").cluster
    assert cluster is not None
    assert cluster.name == "invoices"


def test_a_message_whose_tombstones_cannot_be_read_is_not_done(store: MemoryStore) -> None:
    partly = Away()
    partly.away = {"default/tombstones.json": StoreUnavailable("away")}
    with pytest.raises(StoreUnavailable):
        record(partly, message("a"))
    with pytest.raises(ObjectNotFound):
        Results(partly, "default").get("a")


def test_a_picture_has_no_row_before_it_has_its_result() -> None:
    rows_then = []

    class Late(MemoryStore):
        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            if "/results/" in key:
                time.sleep(0.05)  # longer than it takes to write a row beside it
                rows_then.append(kept(self)[1])
            return super().put(key, data, create_only=create_only, if_match=if_match)

    store = Late()
    record(store, message("a"))
    assert rows_then == [set()]  # a sweep takes a row for an answer
    assert kept(store) == ({"a"}, {"a"})
