"""Sending again what a job lost, after Redis was flushed or burnt: exactly the pictures without a row.

```
parts ─▶ hashes of all pictures that have a row, 8 bytes each
source, from its start ─▶ references without one ─▶ messages with new numbers
numbers that have no part ─▶ an empty one, since nobody will answer them any more
```
The source may have changed meanwhile. What waits in Redis all the same is done twice, which does no harm.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from console.bulk import BulkSubmission
from console.bulk_source import BulkPage, BulkSource
from model_store.job_part import pictures_of, summary
from model_store.job_parts import JobParts
from model_store.job_record import JobRecord
from model_store.jobs import Held, Jobs
from producer.contracts import ImageRef
from producer.errors import ConfigurationError


def resend(held: Held, source: BulkSource, jobs: Jobs, parts: JobParts, work: BulkSubmission) -> JobRecord:
    """Submit what has no row, and close the job.

    Raises:
        BrokerUnavailable, StoreUnavailable: the same again goes on.
        ConfigurationError: the job was not submitted whole yet: that must come first.
    """
    record = held.record
    if record.state != "closed" or record.message_ids is None:
        raise ConfigurationError(f"the job {record.job_id} is not submitted whole yet: leave out --resend")
    known, whole = _known(jobs, record.job_id)
    lost = [message_id for message_id in record.message_ids if message_id not in whole]
    if not lost:
        return record
    # not closed from here on: with the lost parts sealed it would look complete
    held = jobs.save(record.model_copy(update={"state": "submitting"}), held.etag)
    for message_id in lost:
        parts.seal(record.job_id, message_id)
    return work.run(held, _Missing(source, known))


def _known(jobs: Jobs, job_id: str) -> tuple[NDArray[np.uint64], set[str]]:
    """Give the pictures that have a row, ascending, and the messages whose parts are whole."""
    each, whole = [np.empty(0, np.uint64)], set()
    for message_id, key, data in jobs.read_parts(job_id, sorted(jobs.parts(job_id))):
        part = summary(data, key)
        each.append(part.pictures)
        if part.whole:
            whole.add(message_id)
    return np.unique(np.concatenate(each)), whole


class _Missing:
    """A source without the pictures that are known."""

    def __init__(self, source: BulkSource, known: NDArray[np.uint64]) -> None:
        self._source, self._known = source, known
        self.kind, self.name, self.identity, self.total = source.kind, source.name, source.identity, None

    def pages(self, after: str) -> Iterator[BulkPage]:
        """See BulkSource."""
        for page in self._source.pages(after):
            yield BulkPage(tuple(self._unknown(page.refs)), page.cursor)  # what is skipped was counted before

    def _unknown(self, refs: Iterable[ImageRef]) -> Iterator[ImageRef]:
        refs = list(refs)
        pictures = np.array(pictures_of([ref.image_id for ref in refs]), np.uint64)
        first, after = (np.searchsorted(self._known, pictures, side) for side in ("left", "right"))
        return (ref for ref, absent in zip(refs, first == after, strict=True) if absent)
