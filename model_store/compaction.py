"""Many small parts of the ledger into one file per day, while workers go on writing.

```
read the day           its compacted file and its parts (ledger_day.py)
write day-{n + 1}      create-only: of two compactions that race one wins, the other does nothing
remove day-{<= n}      then the parts, each only if it still has the ETag that was read
```

Cut short anywhere it leaves files that readers pass over and the next compaction removes. A part that a
late redelivery has written again keeps its place: its ETag is another.
"""

import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog
from pydantic import BaseModel

from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.ledger_day import Day, DayChanged
from model_store.ledger_schema import SCHEMA
from model_store.object_store import ObjectStore
from model_store.tombstones import Tombstones
from producer.errors import ObjectNotFound, PreconditionFailed

log = structlog.get_logger(__name__)

READINGS: Final = 10


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: days rewritten, parts taken in, rows kept, rows left out."""

    days: int = 0
    parts: int = 0
    rows: int = 0
    dropped: int = 0

    def __add__(self, other: "Compacted") -> "Compacted":
        return Compacted(
            self.days + other.days,
            self.parts + other.parts,
            self.rows + other.rows,
            self.dropped + other.dropped,
        )


class _State(BaseModel):
    tombstones: str = ""  # digest of the erased pictures that are in no compacted day


def compact_finished_days(store: ObjectStore, collection: str, today: date) -> Compacted:
    """Compact every day before `today` that has parts, and leave out what was erased, whenever that was.

    Safe at any time and beside itself: a wrong `today` costs work, no rows. Looks at the tombstones once
    more after writing: what was erased meanwhile is left out too, or the erasure found it.
    """
    done, tombstones, erased = Compacted(), Tombstones(store, collection), None
    while erased != (erased := tombstones.now()):
        done += _compact_finished_days(store, collection, today, erased)
    return done


def _compact_finished_days(
    store: ObjectStore, collection: str, today: date, erased: frozenset[str]
) -> Compacted:
    layout = Layout(collection)
    digest = hashlib.sha256("\n".join(sorted(erased)).encode()).hexdigest() if erased else ""
    try:
        before = _State.model_validate_json(store.get(layout.ledger_state()).data)
    except ObjectNotFound:
        before = _State()
    done = compact(
        store, collection, before=today, drop_ids=erased, compacted_too=digest != before.tombstones
    )
    if digest != before.tombstones:
        store.put(layout.ledger_state(), _State(tombstones=digest).model_dump_json().encode())
    return done


def compact(
    store: ObjectStore,
    collection: str,
    *,
    before: date,
    drop_ids: Collection[str] = (),
    compacted_too: bool = False,
) -> Compacted:
    """Compact days, and leave out the rows of some pictures.

    Args:
        store: where the ledger lies.
        collection: whose ledger.
        before: only days before this one.
        drop_ids: pictures whose rows are left out for good.
        compacted_too: look for `drop_ids` in days without new parts as well.

    Raises:
        StoreUnavailable, AccessDenied: some days may be done; doing it again completes them.
    """
    dropped = pa.array(sorted(drop_ids), pa.string())
    done = Compacted()
    for day in Ledger(store, collection).days():
        name = day.folder.rstrip("/").rpartition("dt=")[2]
        if name < before.isoformat() and (
            day.parts or len(day.compacted) > 1 or (compacted_too and drop_ids)
        ):
            done += _compact_day(store, Layout(collection), day, name, dropped)
    return done


def _compact_day(
    store: ObjectStore, layout: Layout, day: Day, name: str, dropped: "pa.Array[pa.StringScalar]"
) -> Compacted:
    for _ in range(READINGS):
        try:
            data, done = _rewritten(day, dropped)
            break
        except DayChanged:
            day = Day(store, day.folder)
    else:
        return Compacted()  # others are at it
    changed = bool(day.parts or done.dropped)
    if changed:
        try:
            store.put(layout.ledger_day(name, day.generation + 1), data, create_only=True)
        except PreconditionFailed:
            return Compacted()  # another compaction was faster, and has what this one has
    for key in day.compacted if changed else day.compacted[:-1]:
        store.delete(key)
    for key, etag in day.etags.items():
        try:
            store.delete(key, if_match=etag)
        except PreconditionFailed:
            log.info("a part was written again meanwhile and stays", key=key)
    return done if changed else Compacted()


def _rewritten(day: Day, dropped: "pa.Array[pa.StringScalar]") -> tuple[bytes, Compacted]:
    """Write the day's file; only its compressed form and a few parts are in memory at once."""
    buffer, n_rows, n_dropped = io.BytesIO(), 0, 0
    with pq.ParquetWriter(buffer, SCHEMA, compression="zstd") as writer:
        for table in day.tables(SCHEMA.names):
            kept = table
            if len(dropped):
                kept = table.filter(pc.invert(pc.is_in(table["image_id"], value_set=dropped)))
            n_rows, n_dropped = n_rows + len(kept), n_dropped + len(table) - len(kept)
            writer.write_table(kept)
    return buffer.getvalue(), Compacted(1, len(day.parts), n_rows, n_dropped)
