"""Writes what became of one message: results for people, rows for the ledger, nothing of erased pictures.

The results of a job on the bulk lane are one Parquet part; all others, and renewed ones, are one JSON each.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from model_store.cluster_names import ClusterNames, Names
from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.ledger import Ledger
from model_store.object_store import ObjectStore
from model_store.results import PREDICTED, Results
from model_store.shown_result import shown
from model_store.tombstones import Tombstones
from producer.broker import BULK
from producer.contracts import ClassifyImages, ImageRef, Result
from producer.errors import ShoalError

log = structlog.get_logger(__name__)


class Recorder:
    """What is kept of one collection. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        collection: str,
        poll_s: float,
        on_part: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Look at the names that people gave every `poll_s`; tell `on_part` which job got a part."""
        self._results = Results(store, collection)
        self._parts = JobParts(store, collection)
        self._on_part = on_part
        self._ledger = Ledger(store, collection)
        self._tombstones = Tombstones(store, collection)
        self._names = ClusterNames(store, collection)
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._known: Names | None = None
        self._read_at = float("-inf")

    def record(
        self,
        message: ClassifyImages,
        results: Sequence[Result],
        projections: Sequence[NDArray[np.float32] | None],
        residuals: Sequence[float | None],
    ) -> None:
        """Store the results of a message, in its order, and its part of the ledger.

        When it returns, each picture has this result or a newer one; an erased picture has none, even if it
        was erased meanwhile: either the look after writing sees its tombstone, or the erasure sees what was
        written.

        Raises:
            StoreUnavailable, AccessDenied: some may be written; recording again completes it.
        """
        rows = [
            row
            for row in zip(message.images, results, projections, residuals, strict=True)
            if row[1].status in PREDICTED or not message.reclassify  # renewed, or left as it is
        ]
        names = self._present_names()
        ids = {ref.image_id for ref in message.images}
        erased = self._tombstones.recent() & ids
        while True:
            kept = [row for row in rows if row[0].image_id not in erased]
            self._save(
                message,
                [ref for ref, _, _, _ in kept],
                [shown(answer, names) for _, answer, _, _ in kept],
                erased,
            )
            # after, and not beside: a sweep takes a row for an answer, and would leave this upload out
            self._ledger.append(
                message.message_id,
                [ref for ref, _, _, _ in kept],
                [result for _, result, _, _ in kept],
                [projection for _, _, projection, _ in kept],
                [residual for _, _, _, residual in kept],
            )
            late = (self._tombstones.now() & ids) - erased
            if not late:
                break
            erased |= late
        if _of_job(message) is not None:
            self._on_part(str(message.job_id))
        if erased:
            log.info("erased pictures were passed over", pictures=len(erased))

    def _save(
        self,
        message: ClassifyImages,
        refs: Sequence[ImageRef],
        answers: Sequence[Result],
        erased: Collection[str],
    ) -> None:
        job_id = _of_job(message)
        if job_id is None:
            self._results.save(answers)
            self._results.remove(erased)  # of an earlier delivery, which did not come this far
            return
        whole = message.whole
        part = part_of(whole.message_id, whole.pictures, refs, answers, sorted(erased))
        self._parts.save(job_id, whole.message_id, part)

    def _present_names(self) -> Names:
        """Give the names as of a moment ago; a store or file that fails leaves those known before.

        Where somebody else is reading them, those known so far, if any are.
        """
        if self._lock.acquire(blocking=self._known is None):
            try:
                self._look_at_names()
            finally:
                self._lock.release()
        return self._known or Names()

    def _look_at_names(self) -> None:
        if time.monotonic() - self._read_at < self._poll_s:
            return
        self._read_at = time.monotonic()
        try:
            self._known = self._names.read()
        except ShoalError as error:
            log.warning("the names of clusters cannot be read", reason=str(error))


def _of_job(message: ClassifyImages) -> str | None:
    """Tell in which job's part the results go; None if each is an object of its own."""
    return message.job_id if message.lane == BULK and not message.reclassify else None
