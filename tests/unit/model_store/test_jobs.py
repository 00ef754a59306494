from collections.abc import Callable

import pytest

from model_store.job_completion import JobCompletion
from model_store.job_record import JobManifest
from model_store.jobs import Jobs
from model_store.latest import Latest
from model_store.manifest import sha256
from model_store.object_store import MemoryStore
from model_store.results import Results
from producer.errors import ObjectNotFound, PreconditionFailed
from producer.ulid import new_ulid
from tests.unit.model_store.made_jobs import REFUSED, MadeJob, generation, result


def settled(store: MemoryStore) -> JobManifest | None:
    return JobCompletion(store, "cats").settle("job-1")


def agrees(store: MemoryStore, manifest: JobManifest) -> bool:
    """Tell whether the parts are those that the manifest lists, byte for byte."""
    stored = {info.key.rpartition("/")[2]: info.key for info in store.list("cats/jobs/job-1/part-")}
    return {part.name: part.sha256 for part in manifest.parts} == {
        name: sha256(store.get(key).data) for name, key in stored.items()
    }


def test_a_job_is_complete_once_it_is_closed_and_every_message_has_its_part(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.answered(0)
    assert settled(store) is None  # nobody said what it consists of
    job.submitted()
    assert settled(store) is None
    job.answered(1, cluster=None, **REFUSED)
    manifest = settled(store)
    assert manifest is not None
    assert (manifest.submitted, manifest.pictures) == (4, 4)
    assert manifest.totals == {"assigned": 2, "rejected": 2}
    assert [part.rows for part in manifest.parts] == [2, 2]
    assert agrees(store, manifest)


def test_a_job_still_being_submitted_is_not_complete(store: MemoryStore) -> None:
    job = MadeJob(store)
    held = job.jobs.save(job.record.model_copy(update={"state": "submitting"}), None)
    job.answered(0)
    job.answered(1)
    assert settled(store) is None
    job.jobs.save(job.record, held.etag)
    assert settled(store) is not None


def test_half_a_message_does_not_complete_a_job(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    job.answered(0)
    job.answered(1, ["img_1_0"])
    assert settled(store) is None
    job.answered(1, ["img_1_1"])
    assert settled(store) is not None


def test_a_part_of_another_message_does_not_count(store: MemoryStore) -> None:
    job = MadeJob(store, messages=1)
    job.submitted()
    job.answered(5)
    assert settled(store) is None


def test_a_picture_submitted_twice_counts_once_by_its_newest_row(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    job.answered(0, ["img_a", "img_b"], model=generation(1))
    job.answered(1, ["img_a", "img_c"], model=generation(2), status="unknown")
    manifest = settled(store)
    assert manifest is not None
    assert (manifest.submitted, manifest.pictures, manifest.totals) == (4, 3, {"assigned": 1, "unknown": 2})


def test_the_manifest_is_created_once_whoever_comes_first(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    job.answered(0)
    job.answered(1)
    first = settled(store)
    assert settled(store) == first
    assert first is not None
    assert first.revision == 1


def test_a_part_bettered_after_completion_is_in_the_manifest(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.submitted()
    job.answered(0)
    job.answered(1, status="failed", cluster=None)
    first = settled(store)
    job.answered(1, ["img_1_0"])
    manifest = Jobs(store, "cats").manifest("job-1")
    assert first is not None
    assert manifest.totals == {"assigned": 3, "failed": 1}
    assert (manifest.revision, manifest.completed_at) == (2, first.completed_at)
    assert agrees(store, manifest)


class Interrupted(MemoryStore):
    """Does something right before one key is written for the first time."""

    def __init__(self, suffix: str) -> None:
        super().__init__()
        self.suffix = suffix
        self.meanwhile: Callable[[], object] | None = None

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        if key.endswith(self.suffix) and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().put(key, data, create_only=create_only, if_match=if_match)


@pytest.mark.parametrize("suffix", ["manifest.json", "index.safetensors"])
def test_manifest_and_parts_agree_though_a_part_changes_while_it_is_written(suffix: str) -> None:
    store = Interrupted(suffix)
    job = MadeJob(store)
    job.submitted()
    job.answered(0)
    job.answered(1, status="failed", cluster=None)
    store.meanwhile = lambda: job.answered(1)
    settled(store)
    manifest = Jobs(store, "cats").manifest("job-1")
    assert manifest.totals == {"assigned": 4}
    assert agrees(store, manifest)


def test_two_who_complete_a_job_at_once_leave_one_manifest() -> None:
    store = Interrupted("manifest.json")
    job = MadeJob(store)
    job.submitted()
    job.answered(0)
    job.answered(1)
    store.meanwhile = lambda: settled(store)
    assert settled(store) == Jobs(store, "cats").manifest("job-1")


def test_a_job_whose_messages_nobody_numbered_is_complete_with_its_pictures(store: MemoryStore) -> None:
    job = MadeJob(store)
    job.record = job.record.model_copy(update={"messages": None, "pictures": 4})
    job.submitted()
    job.answered(0)
    assert settled(store) is None
    job.answered(1)
    assert settled(store) is not None


def test_a_record_is_written_by_one_submitter_only(store: MemoryStore) -> None:
    job = MadeJob(store)
    held = job.jobs.save(job.record, None)
    job.jobs.save(held.record, held.etag)
    with pytest.raises(PreconditionFailed):
        job.jobs.save(held.record, held.etag)
    with pytest.raises(ObjectNotFound, match="no job other"):
        job.jobs.record("other")


@pytest.mark.parametrize("complete", [False, True])
def test_a_result_is_found_in_the_part_of_a_job(store: MemoryStore, *, complete: bool) -> None:
    job = MadeJob(store)
    job.answered(0)
    job.answered(1)
    if complete:
        job.submitted()
        assert settled(store)
    MadeJob(store, "job-2").answered(7)
    found = Latest(store, "cats").get_many(["img_0_1", "img_7_0", "never"])
    assert {image_id: found[image_id].cluster.id for image_id in found if found[image_id].cluster} == {  # type: ignore[union-attr]
        "img_0_1": "c_a",
        "img_7_0": "c_a",
    }
    assert set(Latest(store, "cats").get_many(["img_0_1", "img_7_0"], ["job-2"])) == {"img_7_0"}


@pytest.mark.parametrize(("of_job", "of_object"), [(2, 1), (1, 2)])
def test_the_newest_result_is_shown_wherever_it_stands(
    store: MemoryStore, of_job: int, of_object: int
) -> None:
    job = MadeJob(store)
    job.answered(0, model=generation(of_job))
    Results(store, "cats").save([result("img_0_0", new_ulid(), model=generation(of_object))])
    model = Latest(store, "cats").get_many(["img_0_0"])["img_0_0"].model
    assert model == generation(2)
