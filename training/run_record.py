"""The record of one retraining run: created before it starts, so that of two equal runs one begins."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.layout import Layout
from model_store.manifest import Gate
from model_store.object_store import ObjectStore
from producer.errors import PreconditionFailed

State = Literal["running", "promoted", "challenger", "skipped", "failed"]


class RunRecord(BaseModel):
    """`runs/{slot}.json`. `reason` says in words how the run ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    collection: str
    slot: str
    state: State = "running"
    reason: str = ""
    version: str | None = None
    gates: tuple[Gate, ...] = ()
    n_images: int = 0
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None


class Runs:
    """The runs of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def begin(self, slot: str) -> RunRecord | None:
        """Create the run; None if it exists, whoever created it."""
        record = RunRecord(collection=self._layout.collection, slot=slot)
        try:
            self._store.put(self._layout.run(slot), record.model_dump_json().encode(), create_only=True)
        except PreconditionFailed:
            return None
        return record

    def end(self, record: RunRecord) -> RunRecord:
        """Store how it ended."""
        ended = record.model_copy(update={"ended_at": datetime.now(UTC)})
        self._store.put(self._layout.run(record.slot), ended.model_dump_json().encode())
        return ended

    def all(self) -> Iterator[RunRecord]:
        """Read all records, in the order of their slots' names."""
        for info in self._store.list(self._layout.run("").removesuffix(".json")):
            if info.key.endswith(".json"):
                yield RunRecord.model_validate_json(self._store.get(info.key).data)

    def get(self, slot: str) -> RunRecord:
        """Read a run's record.

        Raises:
            ObjectNotFound: there was no such run.
        """
        return RunRecord.model_validate_json(self._store.get(self._layout.run(slot)).data)
