"""Submitting a job: page by page, with the place to go on written down after each.

```
source, from the cursor on ─▶ messages with numbered ids ─▶ bulk lane ─▶ job.json: cursor, counts ─▶ next page
```
A page that was sent and not written down is sent again under the same message ids, which changes nothing. Two
that submit the same job at once find out at the next page: the slower one stops.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from console.bulk_source import BulkPage, BulkSource
from console.gathering import gathered
from model_store.forgetting import ERASED
from model_store.job_record import JobRecord
from model_store.jobs import Held, Jobs
from producer.broker import BULK
from producer.contracts import ClassifyImages
from producer.errors import ConfigurationError, ObjectNotFound, PreconditionFailed, QueueFull, ShoalError

FULL_PAUSE_S: Final = 1.0
SAY_EVERY_S: Final = 60.0


def job_id_for(collection: str, source: BulkSource) -> str:
    """Name a job after what it submits, so that the same command finds it again."""
    digest = hashlib.sha256(
        f"{collection}\0{source.kind}\0{source.identity}".encode("utf-8", "surrogateescape")
    )
    return f"{source.kind}-{digest.hexdigest()[:16]}"


@dataclass
class BulkSubmission:
    """Submits one job.

    Args:
        jobs: of its collection.
        send: puts messages on their lane; gives for each None once acknowledged, or why it is not there.
        on_progress: told after each page how many references are submitted.
        on_wait: told that the lane is full.
    """

    jobs: Jobs
    send: Callable[[Sequence[ClassifyImages]], Sequence[ShoalError | None]]
    on_progress: Callable[[int], None] = field(default=lambda _: None)
    on_wait: Callable[[str], None] = field(default=lambda _: None)

    def begin(self, job_id: str, collection: str, source: BulkSource) -> Held:
        """Create a job, or find how far it is.

        Raises:
            ConfigurationError: a job of this name is another's.
        """
        name = f"{source.kind} {source.name}"
        try:
            held = self.jobs.record(job_id)
        except ObjectNotFound:
            held = self.jobs.save(JobRecord(job_id=job_id, collection=collection, source=name), None)
        if held.record.messages is None or held.record.source != name:
            raise ConfigurationError(
                f"the job {job_id} is of another source: {held.record.source or 'unknown'}"
            )
        return held

    def run(self, held: Held, source: BulkSource) -> JobRecord:
        """Submit what is left, and close the job.

        Raises:
            BrokerUnavailable, StoreUnavailable: the same again goes on from the last page.
            ConfigurationError: another process submits this job.
        """
        if held.record.state == "closed":
            return held.record
        try:
            after = "" if ERASED in held.record.cursor else held.record.cursor
            for page in source.pages(after):
                held = self.jobs.save(self._sent(held.record, page), held.etag)
            return self.jobs.save(
                held.record.model_copy(update={"state": "closed", "cursor": ""}), held.etag
            ).record
        except PreconditionFailed as error:
            raise ConfigurationError(f"another process submits the job {held.record.job_id}") from error

    def _sent(self, record: JobRecord, page: BulkPage) -> JobRecord:
        number, pictures = record.messages or 0, record.pictures
        messages = [
            ClassifyImages(
                message_id=record.message_id(number),
                collection=record.collection,
                lane=BULK,
                job_id=record.job_id,
                images=refs,
            )
            for number, refs in enumerate(gathered(page.refs), number)
        ]
        self._send(messages)
        number, pictures = number + len(messages), pictures + len(page.refs)
        self.on_progress(pictures)
        return record.model_copy(
            update={
                "cursor": page.cursor,
                "messages": number,
                "pictures": pictures,
                "skipped": record.skipped + page.skipped,
                "first_skipped": record.first_skipped or page.first_skipped,
            }
        )

    def _send(self, messages: Sequence[ClassifyImages]) -> None:
        said_at = float("-inf")
        while messages:
            outcomes = list(zip(messages, self.send(messages), strict=True))
            full = [outcome for _, outcome in outcomes if isinstance(outcome, QueueFull)]
            for _, outcome in outcomes:
                if outcome is not None and not isinstance(outcome, QueueFull):
                    raise outcome
            if full:
                if time.monotonic() - said_at > SAY_EVERY_S:
                    self.on_wait(f"waits: {full[0]}")
                    said_at = time.monotonic()
                time.sleep(FULL_PAUSE_S)
            messages = [message for message, outcome in outcomes if outcome is not None]
