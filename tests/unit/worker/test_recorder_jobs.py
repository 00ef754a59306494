"""What a worker leaves of a job's messages: one part each, and nothing of erased pictures."""

import numpy as np
import pytest

from model_store.cluster_names import ClusterNames
from model_store.erasure import Erasure
from model_store.job_completion import JobCompletion
from model_store.job_part import decode
from model_store.job_row import result_of
from model_store.jobs import Jobs
from model_store.latest import Latest
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.tombstones import Tombstones
from producer.contracts import ClassifyImages, Cluster, ImageRef, ModelStamp, Result
from tests.unit.model_store.made_jobs import MadeJob
from tests.watched_stores import ErasedMeanwhile
from worker.recorder import Recorder


def message(*image_ids: str, **fields: object) -> ClassifyImages:
    refs = tuple(ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in image_ids)
    given = {"images": refs, "collection": "cats", "lane": "bulk", "job_id": "job-1"}
    return ClassifyImages.model_validate(given | fields)


def record(store: MemoryStore, message: ClassifyImages, **fields: object) -> list[str]:
    told: list[str] = []
    answers = [
        Result.model_validate(
            {
                "image_id": ref.image_id,
                "collection": "cats",
                "message_id": message.message_id,
                "status": "assigned",
                "cluster": Cluster(id="c_b", index=1),
                "model": ModelStamp(version="v", sha256="0", generation=1),
            }
            | fields
        )
        for ref in message.images
    ]
    projections = [np.zeros(2, np.float32)] * len(message.images)
    recorder = Recorder(store, "cats", 0.0, told.append)
    recorder.record(message, answers, projections, [0.5] * len(message.images))
    return told


def rows(store: MemoryStore) -> dict[str, list[str]]:
    """Image ids by part; an erased one as its status."""
    jobs = Jobs(store, "cats")
    return {
        message_id: sorted(row["image_id"] or row["status"] for row in decode(data, key).rows.values())
        for message_id, key, data in jobs.read_parts("job-1", list(jobs.parts("job-1")))
    }


def test_a_message_of_a_job_leaves_one_part_its_rows_of_the_ledger_and_no_other_result(
    store: MemoryStore,
) -> None:
    work = message("a", "b")
    assert record(store, work) == ["job-1"]
    assert rows(store) == {work.message_id: ["a", "b"]}
    assert [row.ref.image_id for row in Ledger(store, "cats").rows()] == ["a", "b"]
    assert list(store.list("cats/results/")) == []


@pytest.mark.parametrize("fields", [{"job_id": None}, {"lane": "interactive"}, {"reclassify": True}])
def test_all_other_messages_leave_an_object_per_picture(
    store: MemoryStore, fields: dict[str, object]
) -> None:
    assert record(store, message("a", **fields)) == []
    assert [info.key for info in store.list("cats/results/")] == ["cats/results/a/a.json"]
    assert list(store.list("cats/jobs/")) == []


def test_a_redelivered_message_leaves_the_same_bytes(store: MemoryStore) -> None:
    work = message("a", "b")
    record(store, work)
    before = [info.etag for info in store.list("cats/jobs/")]
    record(store, work)
    record(store, work, status="failed", cluster=None)
    assert [info.etag for info in store.list("cats/jobs/")] == before


def test_the_halves_of_a_message_leave_the_part_of_the_whole(store: MemoryStore) -> None:
    whole = message("a", "b", "c")
    for image_ids in (["a"], ["b", "c"], ["b"]):
        record(store, message(*image_ids, part_of=whole.whole))
    assert rows(store) == {whole.message_id: ["a", "b", "c"]}


def test_the_halves_of_a_message_have_parts_of_the_ledger_of_their_own(store: MemoryStore) -> None:
    whole = message("a", "b")
    halves = [message(image_id, part_of=whole.whole) for image_id in ("a", "b")]
    for half in halves:
        record(store, half, message_id=half.submission)
    [table] = Ledger(store, "cats").tables(("message_id", "image_id"))
    assert set(zip(table["message_id"].to_pylist(), table["image_id"].to_pylist(), strict=True)) == {
        (half.message_id, half.images[0].image_id) for half in halves
    }


def test_an_erased_picture_of_a_late_message_leaves_an_empty_row(store: MemoryStore) -> None:
    Tombstones(store, "cats").set(["a"], "r")
    work = message("a", "b")
    record(store, work)
    assert rows(store) == {work.message_id: ["b", "erased"]}
    assert list(Erasure(store, "cats", {}).verify(["a"])) == []


def test_an_erasure_empties_the_row_and_the_manifest_follows(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    for number in range(2):
        record(store, message(*job.images(number), message_id=job.record.message_id(number)))
    assert JobCompletion(store, "cats").settle("job-1")

    done = Erasure(store, "cats", {}).run(["img_0_0"])

    assert done.removed == {"jobs": 1, "ledger": 1}
    assert list(Erasure(store, "cats", {}).verify(["img_0_0"])) == []
    manifest = Jobs(store, "cats").manifest("job-1")
    assert (manifest.totals, manifest.revision) == ({"assigned": 3, "erased": 1}, 2)
    assert set(Latest(store, "cats").get_many(["img_0_0", "img_0_1"])) == {"img_0_1"}


def test_a_job_of_which_a_whole_part_was_erased_is_completed_all_the_same(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    record(store, message(*job.images(0), message_id=job.record.message_id(0)))
    Erasure(store, "cats", {}).run(job.images(0))
    record(store, message(*job.images(1), message_id=job.record.message_id(1)))
    manifest = JobCompletion(store, "cats").settle("job-1")
    assert manifest is not None
    assert manifest.totals == {"assigned": 2, "erased": 2}


def test_names_that_people_gave_stand_in_the_rows(store: MemoryStore) -> None:
    ClusterNames(store, "cats").name("c_b", "invoices")
    record(store, message("a"))
    jobs = Jobs(store, "cats")
    [(_, key, data)] = jobs.read_parts("job-1", list(jobs.parts("job-1")))
    [result] = [result_of(row, "cats") for row in decode(data, key).rows.values()]
    assert result is not None
    assert result.cluster == Cluster(id="c_b", name="invoices", index=1)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_picture_erased_while_its_part_is_written_does_not_come_back(at: int, *, after: bool) -> None:
    store = ErasedMeanwhile("cats", at, after=after)
    work = message("a", "b")
    record(store, work)
    assert store.erasing
    assert rows(store) == {work.message_id: ["b", "erased"]}
    assert list(Erasure(store, "cats", {}).verify(["a"])) == []
