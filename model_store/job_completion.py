"""When a job is complete, and the manifest that says so.

Whoever finds a job complete writes its manifest: workers that wrote a part of it, workers at their start and
now and then, and `shoal jobs`. It is created once. Where a part changes afterwards, whoever changed it renews
the manifest; who creates one looks at the parts again afterwards. So both agree, whichever came first.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store.job_index import JobIndex
from model_store.job_part import Summary, summary
from model_store.job_record import INDEX, MANIFEST, JobManifest, JobRecord, PartEntry
from model_store.job_row import STATUSES
from model_store.jobs import SUFFIX, Jobs
from model_store.layout import Layout
from model_store.manifest import sha256
from model_store.object_store import ObjectStore, StoredObject
from producer.errors import ObjectNotFound, PreconditionFailed

ATTEMPTS: Final = 50  # of a compare-and-swap


class JobCompletion:
    """Completes the jobs of one collection. All methods raise StoreUnavailable and AccessDenied."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)
        self._jobs = Jobs(store, collection)

    def settle(self, job_id: str) -> JobManifest | None:
        """Write the manifest if the job is complete and has none; None while it is not complete.

        Reads every part of a complete job once: about 100 MB for a million pictures.
        """
        try:
            return self._jobs.manifest(job_id)
        except ObjectNotFound:
            pass
        try:
            record = self._jobs.record(job_id).record
        except ObjectNotFound:
            return None
        if record.state != "closed":
            return None
        parts = self._jobs.parts(job_id)
        if not all(message_id in parts for message_id in record.message_ids or ()):
            return None
        return self._written(record, parts, None)

    def renew(self, job_id: str) -> None:
        """Let the manifest say what the parts are now, if the job has one."""
        for _ in range(ATTEMPTS):
            try:
                found = self._store.get(self._layout.job(job_id) + MANIFEST)
                record = self._jobs.record(job_id).record
            except ObjectNotFound:
                return
            try:
                self._written(record, self._jobs.parts(job_id), found)
            except PreconditionFailed:
                continue
            return
        raise PreconditionFailed(f"the manifest of {job_id} kept changing")

    def _written(
        self, record: JobRecord, parts: dict[str, str], before: StoredObject | None
    ) -> JobManifest | None:
        """Write index and manifest, and again until no part has changed meanwhile."""
        key, etag = self._layout.job(record.job_id) + MANIFEST, before.etag if before else None
        old = JobManifest.model_validate_json(before.data) if before else None
        while True:
            made = self._made(record, parts, old)
            if made is None:
                return None
            manifest, index = made
            self._store.put(self._layout.job(record.job_id) + INDEX, index.encode())
            try:
                etag = self._store.put(
                    key, manifest.model_dump_json().encode(), create_only=etag is None, if_match=etag
                )
            except PreconditionFailed:
                if before is not None:
                    raise
                return self._jobs.manifest(
                    record.job_id
                )  # somebody else was faster, and looks again as we would
            now = self._jobs.parts(record.job_id)
            if now == parts:
                return manifest
            parts, old = now, manifest

    def _made(
        self, record: JobRecord, parts: dict[str, str], old: JobManifest | None
    ) -> tuple[JobManifest, JobIndex] | None:
        """Read all parts; None if one is not whole, or they are too few pictures."""
        wanted = sorted(parts) if record.message_ids is None else record.message_ids
        entries: dict[str, PartEntry] = {}
        seen: dict[str, NDArray[np.uint64]] = {}
        count = _Count()
        for message_id, key, data in self._jobs.read_parts(record.job_id, wanted):
            part = summary(data, key)
            if not part.whole and old is None:  # a sealed one to which a late half came stays in the manifest
                return None
            entries[message_id] = PartEntry(
                name=f"part-{message_id}{SUFFIX}",
                sha256=sha256(data),
                size_bytes=len(data),
                rows=len(part.pictures),
            )
            seen[message_id] = part.pictures
            count.add(part)
        if len(entries) < len(wanted) or (record.messages is None and count.rows < record.pictures):
            return None
        index = JobIndex.of([(message_id, seen[message_id]) for message_id in wanted])
        totals = count.totals()
        manifest = JobManifest(
            job_id=record.job_id,
            collection=self._layout.collection,
            submitted=record.pictures,
            pictures=sum(totals.values()),
            totals=totals,
            parts=tuple(entries[message_id] for message_id in wanted),
            completed_at=old.completed_at if old else datetime.now(UTC),
            revision=old.revision + 1 if old else 1,
        )
        return manifest, index


class _Count:
    """Counts pictures by status; of one with several rows the newest."""

    def __init__(self) -> None:
        self.rows = 0
        self._pictures: list[NDArray[Any]] = []
        self._statuses: list[NDArray[Any]] = []
        self._rank: list[NDArray[Any]] = []

    def add(self, part: Summary) -> None:
        """Take the rows of a part in."""
        self.rows += len(part.pictures)
        self._pictures.append(part.pictures)
        self._statuses.append(part.statuses)
        self._rank.append(part.generations)

    def totals(self) -> dict[str, int]:
        """Give how many pictures have each status that occurs."""
        if not self._pictures:
            return {}
        pictures, statuses = np.concatenate(self._pictures), np.concatenate(self._statuses)
        order = np.lexsort((np.concatenate(self._rank), pictures))  # the newest row of each is its last
        last = np.append(pictures[order][1:] != pictures[order][:-1], True)
        counts = Counter(statuses[order][last].tolist())
        return {STATUSES[status]: n for status, n in sorted(counts.items())}
