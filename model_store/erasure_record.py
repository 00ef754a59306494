"""What `erasures/{request}.json` says, and who may write it beside whom: the erasure, and trainers.

A model that was trained while a picture was erased appears after the erasure has looked which models learnt
from it. Whoever publishes notes it then (`late_erasures.py`); what is noted stays.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, PreconditionFailed

ATTEMPTS: Final = 50  # of a compare-and-swap

LearntBy = dict[str, tuple[str, ...]]


class ErasureRecord(BaseModel):
    """`erasures/{request}.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: str
    collection: str
    image_ids: tuple[str, ...]
    state: Literal["running", "done"] = "running"
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    removed: dict[str, int] = Field(
        default_factory=dict, description="places by kind: results, ledger rows, originals and so on"
    )
    learnt_by: LearntBy = Field(
        default_factory=dict, description="model version -> pictures that were in its snapshot"
    )
    unknown_models: tuple[str, ...] = Field(
        (), description="versions of a folder or an array, or without a list of members: nobody can tell"
    )
    remains: tuple[str, ...] = Field((), description="what could not be removed, and why")


def read_record(store: ObjectStore, collection: str, request: str) -> tuple[ErasureRecord, str] | None:
    """Read a record and its ETag; None if there is none."""
    try:
        found = store.get(Layout(collection).erasure(request))
    except ObjectNotFound:
        return None
    return ErasureRecord.model_validate_json(found.data), found.etag


def write_record(store: ObjectStore, record: ErasureRecord) -> ErasureRecord:
    """Write a record, with the models that stand in the present one too; gives what was written.

    Raises:
        PreconditionFailed: it kept changing.
    """
    for _ in range(ATTEMPTS):
        found = read_record(store, record.collection, record.request)
        etag = found[1] if found else None
        merged = record
        if found:
            merged = record.model_copy(update={"learnt_by": _merged(found[0].learnt_by, record.learnt_by)})
        data = merged.model_dump_json(indent=1).encode()
        key = Layout(record.collection).erasure(record.request)
        try:
            store.put(key, data, create_only=etag is None, if_match=etag)
        except PreconditionFailed:
            continue
        return merged
    raise PreconditionFailed(f"the record of erasure {record.request} kept changing; erase again")


def note_learnt(
    store: ObjectStore, collection: str, request: str, version: str, image_ids: Iterable[str]
) -> None:
    """Add to a record that a version learnt from pictures of it; noting it twice notes it once."""
    for _ in range(ATTEMPTS):
        found = read_record(store, collection, request)
        if found is None:
            return
        record, etag = found
        learnt_by = _merged(record.learnt_by, {version: tuple(image_ids)})
        if learnt_by == record.learnt_by:
            return
        noted = record.model_copy(update={"learnt_by": learnt_by})
        try:
            store.put(
                Layout(collection).erasure(request), noted.model_dump_json(indent=1).encode(), if_match=etag
            )
        except PreconditionFailed:
            continue
        return
    raise PreconditionFailed(f"the record of erasure {request} kept changing")


def _merged(one: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]) -> LearntBy:
    return {
        version: tuple(dict.fromkeys((*one.get(version, ()), *other.get(version, ()))))
        for version in sorted({*one, *other})
    }
