"""One day of the ledger, read as a whole although a compaction may replace its files meanwhile.

```
dt=2026-11-24/day-00000003.parquet          compacted; of several the highest generation counts
dt=2026-11-24/hh=09/{message_id}.parquet    not yet compacted, or written again by a late redelivery
```

Two rules make every row count once, whatever a crash left behind. A compacted file holds all that lower
generations hold. The rows of a message that has a part of its own are that part's, and those of the
compacted file are passed over: the part is the same or newer.

A compaction writes the new generation first and removes the old files then. So a reader that missed a file
finds a new generation when it looks again at the end, and reads the day anew.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_store.ledger_schema import SCHEMA
from model_store.object_store import Get, ObjectInfo, ObjectStore, StoredObject
from producer.errors import ObjectNotFound, TransientError

PARTS_AT_ONCE: Final = 64
SUFFIX: Final = ".parquet"
DAY: Final = "day-"


class DayChanged(TransientError):
    """The day was compacted while it was read; read it again."""


class Day:
    """The files of one day, as listed at one moment."""

    def __init__(self, store: ObjectStore, folder: str, listed: Iterable[ObjectInfo] | None = None) -> None:
        """Look at a day.

        Args:
            store: where it lies.
            folder: such as `default/ledger/dt=2026-11-24/`.
            listed: its files, where they are known already; they may be outdated.
        """
        self._store = store
        self.folder = folder
        keys = sorted(info.key for info in (store.list(folder) if listed is None else listed))
        names = [key for key in keys if key.endswith(SUFFIX)]
        self.compacted = [key for key in names if key.removeprefix(folder).startswith(DAY)]  # oldest first
        self.parts = [key for key in names if not key.removeprefix(folder).startswith(DAY)]
        self.etags: dict[str, str] = {}  # of the parts that were read

    @property
    def generation(self) -> int:
        """How often the day was compacted."""
        return _generation(self.compacted[-1]) if self.compacted else 0

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield every row once, in some order; columns that a file lacks are null.

        Raises:
            DayChanged: what was yielded may lack rows.
        """
        wanted = list(dict.fromkeys([*columns, "message_id"]))
        own = pa.array([key.rpartition("/")[2].removesuffix(SUFFIX) for key in self.parts], pa.string())
        try:
            for key in self.compacted[-1:]:
                file = pq.ParquetFile(io.BytesIO(self._store.get(key).data))
                for batch in file.iter_batches(columns=_present(file, wanted)):
                    table = _conform(pa.Table.from_batches([batch]), wanted)
                    if len(own):
                        table = table.filter(pc.invert(pc.is_in(table["message_id"], value_set=own)))
                    yield table.select(columns)
            for at in range(0, len(self.parts), PARTS_AT_ONCE):
                yield pa.concat_tables(self.read(self.parts[at : at + PARTS_AT_ONCE], columns))
        except ObjectNotFound as error:
            raise DayChanged(f"{self.folder} changed while it was read") from error
        now = [info.key for info in self._store.list(self.folder + DAY)]
        if max(map(_generation, now), default=0) != self.generation:
            raise DayChanged(f"{self.folder} was compacted while it was read")

    def newest_first(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield rows, about the newest first, for who needs only some: a row may come twice, or be missed.

        Raises:
            DayChanged: the day was compacted meanwhile.
        """
        files = [*self.compacted[-1:], *self.parts]
        try:
            for end in range(len(files), 0, -PARTS_AT_ONCE):
                yield pa.concat_tables(self.read(files[max(0, end - PARTS_AT_ONCE) : end], columns))
        except ObjectNotFound as error:
            raise DayChanged(f"{self.folder} changed while it was read") from error

    def read(self, keys: Sequence[str], columns: Sequence[str]) -> list[pa.Table]:
        """Read some of the day's files as they are.

        Raises:
            ObjectNotFound: one was compacted meanwhile.
        """
        tables: dict[int, pa.Table] = {}
        for position, found in self._store.get_many(Get(key) for key in keys):
            if not isinstance(found, StoredObject):
                raise found
            self.etags[keys[position]] = found.etag
            file = pq.ParquetFile(io.BytesIO(found.data))
            tables[position] = _conform(file.read(_present(file, columns)), columns)
        return [tables[position] for position in sorted(tables)]


def _present(file: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name in file.schema_arrow.names]


def _conform(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Give a table of an earlier version the columns of this one."""
    fields = [SCHEMA.field(name) for name in columns]
    arrays = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(len(table), field.type)
        for field in fields
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _generation(key: str) -> int:
    return int(key.rpartition(DAY)[2].removesuffix(SUFFIX))
