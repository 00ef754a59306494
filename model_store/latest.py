"""The latest result of a picture, wherever it stands: in an object of its own, or in the part of a job.

A job that is complete is asked by its index, 12 bytes per picture of it; one that is not, by reading its
parts.
"""

from collections.abc import Iterable, Iterator, Sequence

from model_store.job_part import pictures_of, rows_with
from model_store.job_row import result_of
from model_store.jobs import Jobs
from model_store.object_store import ObjectStore
from model_store.results import Results, supersedes
from producer.contracts import Result
from producer.errors import ObjectNotFound


class Latest:
    """The results of one collection, those of jobs included."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._results = Results(store, collection)
        self._jobs = Jobs(store, collection)
        self._collection = collection

    def get_many(self, image_ids: Sequence[str], jobs: Iterable[str] | None = None) -> dict[str, Result]:
        """Read those that exist, by image id.

        Args:
            image_ids: wanted.
            jobs: look into these jobs only, and at no other results.

        Raises:
            StoreUnavailable, AccessDenied: the store could not be asked.
        """
        found = {} if jobs else {result.image_id: result for result in self._results.get_many(image_ids)}
        for job_id in jobs or self._jobs.names():
            for result in self._of_job(job_id, image_ids):
                known = found.get(result.image_id)
                if known is None or supersedes(result, known):
                    found[result.image_id] = result
        return found

    def _of_job(self, job_id: str, image_ids: Sequence[str]) -> Iterator[Result]:
        wanted = pictures_of(image_ids)
        try:
            parts = sorted(self._jobs.index(job_id).parts_with(wanted))
        except ObjectNotFound:
            parts = list(self._jobs.parts(job_id))
        for _, key, data in self._jobs.read_parts(job_id, parts):
            found = (result_of(row, self._collection) for row in rows_with(data, key, wanted))
            yield from (result for result in found if result is not None)
