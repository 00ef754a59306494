"""Following a job until it is complete; whoever follows it also completes it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model_store.job_completion import JobCompletion
from model_store.job_record import JobManifest, JobRecord
from model_store.jobs import Jobs
from model_store.object_store import ObjectStore
from producer.contracts import MAX_IMAGES_PER_MESSAGE
from producer.errors import ObjectNotFound

LOOK_S: Final = 1.0
COST: Final = 10.0  # a look at a large job is not repeated before so many times its length


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it is now."""

    job_id: str
    record: JobRecord | None  # None: nobody said what it consists of
    manifest: JobManifest | None  # None: not complete
    parts: int

    @property
    def name(self) -> str:
        """Say it in a word."""
        if self.manifest is not None:
            return "complete"
        if self.record is None:
            return "open"
        return "running" if self.record.state == "closed" else "submitting"

    @property
    def answered(self) -> int:
        """Tell how many pictures are answered, about: exact once it is complete."""
        if self.manifest is not None:
            return self.manifest.pictures
        if self.record is None or not self.record.messages:
            return self.parts * MAX_IMAGES_PER_MESSAGE
        return min(self.record.pictures, round(self.record.pictures * self.parts / self.record.messages))


class JobWatch:
    """The jobs of one collection, for people."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._jobs = Jobs(store, collection)
        self._completion = JobCompletion(store, collection)

    def state(self, job_id: str) -> JobState:
        """Look at a job, and complete it if it can be.

        Raises:
            ObjectNotFound: there is nothing of this name.
        """
        manifest = self._completion.settle(job_id)
        try:
            record = self._jobs.record(job_id).record
        except ObjectNotFound:
            if not (parts := len(self._jobs.parts(job_id))):
                raise
            return JobState(job_id, None, manifest, parts)
        parts = len(manifest.parts) if manifest else len(self._jobs.parts(job_id))
        return JobState(job_id, record, manifest, parts)

    def wait(self, job_id: str, patience_s: float, on_look: Callable[[JobState], None]) -> JobState:
        """Look until the job is complete, or nothing new came for so long; gives how it is then.

        Raises:
            ObjectNotFound: there is nothing of this name.
        """
        known, news_at = -1, time.monotonic()
        while True:
            started = time.monotonic()
            state = self.state(job_id)
            on_look(state)
            now = time.monotonic()
            sign = state.parts + (state.record.messages or 0 if state.record else 0)
            if sign != known:
                known, news_at = sign, now
            if state.manifest is not None or now - news_at > patience_s:
                return state
            time.sleep(max(LOOK_S, COST * (now - started)))
