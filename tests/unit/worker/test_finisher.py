from collections.abc import Iterator
from contextlib import closing

import pytest

from model_store.jobs import Jobs
from model_store.object_store import MemoryStore
from producer.errors import ObjectNotFound
from tests.unit.model_store.made_jobs import MadeJob
from worker.finisher import Finisher


@pytest.fixture
def finisher(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Finisher]:
    """Its thread does nothing by itself: the test looks."""
    monkeypatch.setattr("worker.finisher.LOOK_S", 3600.0)
    with closing(Finisher(store, lambda: ["cats"])) as made:
        yield made


def complete(store: MemoryStore, job_id: str = "job-1") -> bool:
    try:
        return bool(Jobs(store, "cats").manifest(job_id).parts)
    except ObjectNotFound:
        return False


def test_a_job_is_completed_after_its_last_part(store: MemoryStore, finisher: Finisher) -> None:
    job = MadeJob(store)
    job.submitted()
    for number in range(2):
        assert not complete(store)
        job.answered(number)
        finisher.touched("cats", "job-1")
        finisher.look()
    assert complete(store)


def test_a_job_that_a_dead_worker_left_is_completed_by_the_next(
    store: MemoryStore, finisher: Finisher
) -> None:
    for job_id in ("job-1", "job-2"):
        job = MadeJob(store, job_id)
        job.submitted()
        job.answered(0)
        job.answered(1)
    finisher.look()
    assert not complete(store)
    finisher.look_at_all()
    finisher.look()
    assert complete(store)
    assert complete(store, "job-2")


def test_a_job_that_nobody_submitted_is_left_alone(store: MemoryStore, finisher: Finisher) -> None:
    MadeJob(store).answered(0)
    finisher.look_at_all()
    finisher.look()
    assert not complete(store)
