"""Writes the parts of jobs: created once, then only filled up or bettered."""

import contextlib
from typing import Final

from model_store.job_completion import JobCompletion
from model_store.job_part import Part, decode
from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, PreconditionFailed

ATTEMPTS: Final = 50  # of a compare-and-swap: the halves of one message share a part


class JobParts:
    """The parts of one collection's jobs. Thread-safe."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)
        self._completion = JobCompletion(store, collection)

    def save(self, job_id: str, message_id: str, new: Part) -> None:
        """Write what a message, or a half of one, was answered; when it returns, each row is this or better.

        Raises:
            StoreUnavailable, AccessDenied: writing it again completes it.
        """
        key = self._layout.job_part(job_id, message_id)
        for _ in range(ATTEMPTS):
            try:
                self._store.put(key, new.encode(), create_only=True)
            except PreconditionFailed:
                pass
            else:
                return
            try:
                present = self._store.get(key)
                before = decode(present.data, key)
                after = before.with_rows(new)
                if after is before:
                    return
                self._store.put(key, after.encode(), if_match=present.etag)
            except (ObjectNotFound, PreconditionFailed):
                continue
            self._completion.renew(job_id)
            return
        raise PreconditionFailed(f"{key} kept changing")

    def seal(self, job_id: str, message_id: str) -> None:
        """Take a part as whole with the rows that it has, none if it is not there: no more will come."""
        key = self._layout.job_part(job_id, message_id)
        for _ in range(ATTEMPTS):
            try:
                present = self._store.get(key)
                part = decode(present.data, key)
                self._store.put(key, Part(len(part.rows), part.rows).encode(), if_match=present.etag)
            except ObjectNotFound:
                with contextlib.suppress(PreconditionFailed):
                    self._store.put(key, Part(0, {}).encode(), create_only=True)
                    return
            except PreconditionFailed:
                continue
            else:
                return
        raise PreconditionFailed(f"{key} kept changing")
