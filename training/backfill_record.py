"""How far the backfill after a promotion is: `backfills/{generation}.json`, compare-and-swap.

One process at a time works on it. Another takes it over once it was not renewed for a while; the process
that was overtaken learns of it at its next renewal, and stops.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, PreconditionFailed
from producer.ulid import new_ulid

RENEW_S: Final = 5.0
STALE_S: Final = 60.0


class BackfillRecord(BaseModel):
    """One backfill."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    collection: str
    generation: int
    version: str
    state: Literal["running", "done", "stopped"] = "running"
    reason: str = ""
    owner: str = Field(default_factory=new_ulid, description="process that works on it")
    through: str | None = Field(None, description="this day of the ledger and all newer ones are done")
    submitted: int = 0
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    renewed_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Held:
    """A backfill that this process works on."""

    def __init__(self, store: ObjectStore, record: BackfillRecord, etag: str) -> None:
        self._store = store
        self.record = record
        self._etag = etag

    def write(self, **changes: object) -> None:
        """Renew the record, changed.

        Raises:
            PreconditionFailed: another process has taken it over.
        """
        changed = self.record.model_copy(update={**changes, "renewed_at": datetime.now(UTC)})
        key = Layout(changed.collection).backfill(changed.generation)
        self._etag = self._store.put(key, changed.model_dump_json(indent=1).encode(), if_match=self._etag)
        self.record = changed

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew it."""
        return datetime.now(UTC) - self.record.renewed_at > timedelta(seconds=RENEW_S)


def read(store: ObjectStore, collection: str, generation: int) -> tuple[BackfillRecord, str] | None:
    """Read a record and its tag; None if there is none."""
    try:
        found = store.get(Layout(collection).backfill(generation))
    except ObjectNotFound:
        return None
    return BackfillRecord.model_validate_json(found.data), found.etag


def take(store: ObjectStore, collection: str, generation: int, version: str) -> Held | None:
    """Begin a backfill, or go on with one that nobody works on; None if somebody does, or it is done."""
    found = read(store, collection, generation)
    if found is None:
        record = BackfillRecord(collection=collection, generation=generation, version=version)
        data = record.model_dump_json(indent=1).encode()
        try:
            etag = store.put(Layout(collection).backfill(generation), data, create_only=True)
        except PreconditionFailed:
            return None
        return Held(store, record, etag)
    record, etag = found
    fresh = datetime.now(UTC) - record.renewed_at < timedelta(seconds=STALE_S)
    if record.state == "done" or (record.state == "running" and fresh):
        return None
    held = Held(store, record, etag)
    try:
        held.write(owner=new_ulid(), state="running", reason="")
    except PreconditionFailed:
        return None
    return held
