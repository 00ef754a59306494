"""Completes jobs beside the work: a thread of every worker looks after the jobs it wrote a part of.

A worker may die between its part and this look. So every worker also looks, at its start and now and then, at
all jobs of the collections that it serves; `shoal jobs` does the same for whoever asks.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from model_store.job_completion import JobCompletion
from model_store.jobs import Jobs
from model_store.object_store import ObjectStore
from producer.errors import ShoalError

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0  # between looks at a job that is being worked on, or as long as COST of them took
COST: Final = 20.0
ROUND_S: Final = 300.0  # between looks at all jobs


class Finisher:
    """The thread. What it does not come to another worker does, or the next start."""

    def __init__(
        self, store: ObjectStore, collections: Callable[[], Iterable[str]], *, round_s: float = ROUND_S
    ) -> None:
        """Start it.

        Args:
            store: Shoal's own bucket.
            collections: served by this process.
            round_s: between looks at all their jobs.
        """
        self._store = store
        self._collections = collections
        self._round_s = round_s
        self._lock = threading.Lock()
        self._touched: set[tuple[str, str]] = set()
        self._complete: set[tuple[str, str]] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="finisher", daemon=True)
        self._thread.start()

    def touched(self, collection: str, job_id: str) -> None:
        """Say that a part of a job was written: it may be complete now."""
        with self._lock:
            self._touched.add((collection, job_id))

    def close(self) -> None:
        """End. What was touched and not looked at others do, or the next start."""
        self._closed.set()
        self._thread.join()

    def look(self) -> None:
        """Complete what was touched and can be; what cannot yet is looked at when touched again, or later."""
        with self._lock:
            touched, self._touched = self._touched, set()
        for collection, job_id in sorted(touched):
            try:
                self._settle(collection, job_id)
            except ShoalError as error:
                log.warning("a job could not be looked at", job_id=job_id, reason=str(error))
                self.touched(collection, job_id)

    def look_at_all(self) -> None:
        """Look at every job that is not known to be complete."""
        for collection in sorted(self._collections()):
            try:
                for job_id in Jobs(self._store, collection).names():
                    if (collection, job_id) not in self._complete:
                        self.touched(collection, job_id)
            except ShoalError as error:
                log.warning("jobs could not be listed", collection=collection, reason=str(error))

    def _settle(self, collection: str, job_id: str) -> None:
        manifest = JobCompletion(self._store, collection).settle(job_id)
        if manifest is not None:
            self._complete.add((collection, job_id))
            log.info("job complete", collection=collection, job_id=job_id, pictures=manifest.pictures)

    def _run(self) -> None:
        round_due, pause_s = time.monotonic(), LOOK_S
        while not self._closed.wait(pause_s):
            started = time.monotonic()
            try:
                if started >= round_due:
                    self.look_at_all()
                    round_due = started + self._round_s * random.uniform(0.5, 1.5)  # noqa: S311 - not all at once
                self.look()
            except Exception:
                log.exception("looking after jobs failed")  # the thread must live
            pause_s = max(LOOK_S, COST * (time.monotonic() - started))
