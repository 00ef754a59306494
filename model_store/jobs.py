"""Jobs of the bulk lane: parts, then the index, then the manifest, which stands for all of it.

```
worker       part-{message_id}.parquet   create-only; filled up or bettered by compare-and-swap
submitter    job.json                    compare-and-swap with every page; state `closed` at the end
anybody      index, manifest             once closed, and every message has a whole part: job_completion.py
```
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from model_store.job_index import JobIndex
from model_store.job_record import INDEX, MANIFEST, RECORD, JobManifest, JobRecord
from model_store.layout import Layout
from model_store.object_store import Get, ObjectStore, StoredObject
from producer.errors import ObjectNotFound

PARTS_AT_ONCE: Final = 256
SUFFIX: Final = ".parquet"


@dataclass(frozen=True, slots=True)
class Held:
    """A record, and the ETag of this state of it."""

    record: JobRecord
    etag: str


class Jobs:
    """The jobs of one collection. Thread-safe. All methods raise StoreUnavailable and AccessDenied."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def names(self) -> Iterator[str]:
        """List the jobs that there are."""
        return self._store.folders(self._layout.jobs())

    def record(self, job_id: str) -> Held:
        """Read how far a job's submission is.

        Raises:
            ObjectNotFound: there is no such job, or nobody wrote down what it consists of.
        """
        try:
            found = self._store.get(self._layout.job(job_id) + RECORD)
        except ObjectNotFound as error:
            raise ObjectNotFound(f"no job {job_id} in collection {self._layout.collection}") from error
        return Held(JobRecord.model_validate_json(found.data), found.etag)

    def save(self, record: JobRecord, etag: str | None) -> Held:
        """Write a record in the place of the one with this ETag; None creates it.

        Raises:
            PreconditionFailed: somebody else wrote it meanwhile.
        """
        record = record.model_copy(update={"updated_at": datetime.now(UTC)})
        key, data = self._layout.job(record.job_id) + RECORD, record.model_dump_json(indent=1).encode()
        return Held(record, self._store.put(key, data, create_only=etag is None, if_match=etag))

    def manifest(self, job_id: str) -> JobManifest:
        """Read what came of a job.

        Raises:
            ObjectNotFound: it is not complete (yet).
        """
        return JobManifest.model_validate_json(self._store.get(self._layout.job(job_id) + MANIFEST).data)

    def parts(self, job_id: str) -> dict[str, str]:
        """List the parts that there are: message id -> ETag."""
        prefix = self._layout.job_parts(job_id)
        infos = self._store.list(prefix)
        return {info.key.removeprefix(prefix).removesuffix(SUFFIX): info.etag for info in infos}

    def read_parts(self, job_id: str, message_ids: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
        """Read parts, in no order: message id, key, bytes. Those that are not there are left out."""
        for start in range(0, len(message_ids), PARTS_AT_ONCE):
            some = message_ids[start : start + PARTS_AT_ONCE]
            keys = [self._layout.job_part(job_id, message_id) for message_id in some]
            for position, found in self._store.get_many(map(Get, keys)):
                if isinstance(found, StoredObject):
                    yield some[position], keys[position], found.data
                elif not isinstance(found, ObjectNotFound):
                    raise found

    def index(self, job_id: str) -> JobIndex:
        """Read which part each picture of a complete job is in.

        Raises:
            ObjectNotFound: it is not complete (yet).
        """
        key = self._layout.job(job_id) + INDEX
        return JobIndex.decode(self._store.get(key).data, key)
