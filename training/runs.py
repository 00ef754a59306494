"""The runs of a collection: each is created before it starts, so that of two equal runs one begins.

`runs/{slot}.json` is changed only by compare-and-swap. `attempt` is the fencing token: who takes a dead run
up raises it, and from then on nothing that the earlier attempt writes is accepted (`run_lease.py`).
"""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic import ValidationError

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import PreconditionFailed
from producer.ulid import new_ulid
from training.run_lease import RunLease, Stall
from training.run_record import RunRecord, State, Trigger

log = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 2  # a run that has died is taken up again, once


class Runs:
    """The runs of one collection."""

    def __init__(
        self, store: ObjectStore, collection: str, lease_s: float = 60.0, stall: Stall | None = None
    ) -> None:
        self._store = store
        self._layout = Layout(collection)
        self._lease_s = lease_s
        self._stall = stall
        self._seen: dict[str, tuple[str, RunRecord | None]] = {}  # key -> ETag and what it stands for

    def begin(self, slot: str, trigger: Trigger = "by hand", reason: str = "") -> RunLease | None:
        """Create the run; None if it exists, whoever created it."""
        record = RunRecord(
            collection=self._layout.collection,
            slot=slot,
            trigger=trigger,
            trigger_reason=reason,
            holder=_holder(),
        )
        key = self._layout.run(slot)
        try:
            etag = self._store.put(key, record.model_dump_json().encode(), create_only=True)
        except PreconditionFailed:
            return None
        return RunLease(self._store, key, record, etag, self._lease_s, self._stall)

    def take_up(self, dead: RunRecord, became: State | None = None) -> RunLease | None:
        """Take up a run whose holder has died; None if another was faster, or if it has died twice.

        A run that has died twice is ended: as `failed`, unless it has carried out its verdict.

        Args:
            dead: the record that has not changed for too long; a changed one is left alone.
            became: how it ended, if all that was missing is to say so.
        """
        key = self._layout.run(dead.slot)
        found = self._store.get(key)
        record = RunRecord.model_validate_json(found.data)
        if record.state != "running" or record != dead:
            return None
        over = record.attempt >= MAX_ATTEMPTS
        changes: dict[str, object] = {"attempt": record.attempt + 1, "holder": _holder(), "heartbeat": 0}
        if over:
            reason = f"its trainer died {record.attempt} times, the last time it was {record.holder}"
            changes = {"state": "failed", "reason": reason, "ended_at": datetime.now(UTC)}
            if became is not None:
                changes |= {"state": became, "reason": f"{record.reason}; {reason}, after it was carried out"}
        taken = record.model_copy(update=changes)
        try:
            etag = self._store.put(key, taken.model_dump_json().encode(), if_match=found.etag)
        except PreconditionFailed:
            return None
        return None if over else RunLease(self._store, key, taken, etag, self._lease_s, self._stall)

    def all(self) -> Iterator[RunRecord]:
        """Read all records, in the order of their slots' names; what cannot be read is passed over."""
        return (record for _, record in self.states())

    def states(self) -> Iterator[tuple[str, RunRecord]]:
        """Read all records with their ETags; only what has changed since the last time is fetched."""
        prefix = self._layout.runs()
        for info in self._store.list(prefix):
            if "/" in info.key.removeprefix(prefix) or not info.key.endswith(".json"):
                continue
            known = self._seen.get(info.key)
            if known is None or known[0] != info.etag:
                found = self._store.get(info.key)
                known = (found.etag, _readable(info.key, found.data))
                self._seen[info.key] = known
            if known[1] is not None:
                yield known[0], known[1]

    def get(self, slot: str) -> RunRecord:
        """Read a run's record.

        Raises:
            ObjectNotFound: there was no such run.
        """
        return RunRecord.model_validate_json(self._store.get(self._layout.run(slot)).data)


def _readable(key: str, data: bytes) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(data)
    except ValidationError as error:  # of a newer Shoal, beside which this one still runs; or cut short
        log.warning("a run's record is passed over", key=key, reason=str(error))
        return None


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{new_ulid()}"
