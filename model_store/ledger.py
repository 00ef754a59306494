"""The append-only record of what was classified: one Parquet part per message, the training data's index.

A part's key follows from its message, so that a second delivery rewrites the same part. Days that are over
are compacted (`compaction.py`); how both are read as one is told in `ledger_day.py`.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_store.layout import Layout
from model_store.ledger_day import Day, DayChanged
from model_store.ledger_schema import SCHEMA
from model_store.object_store import ObjectStore
from producer.contracts import ImageRef, Result
from producer.errors import StoreUnavailable

__all__ = ["SCHEMA", "Ledger", "LedgerRow"]

READINGS: Final = 10  # of a day that is compacted while it is read
ROW_COLUMNS: Final = (
    "image_id",
    "bucket",
    "key",
    "version_id",
    "allow_training",
    "sha256",
    "status",
    "cluster_id",
    "classified_at",
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What retraining wants to know of one classified picture."""

    ref: ImageRef
    sha256: str | None
    status: str
    cluster_id: str | None
    classified_at: datetime


class Ledger:
    """The ledger of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def append(
        self,
        message_id: str,
        refs: Sequence[ImageRef],
        results: Sequence[Result],
        projections: Sequence[NDArray[np.float32] | None],
        residuals: Sequence[float | None] | None = None,
    ) -> None:
        """Write the part of one message. Without rows it has none, and one of an earlier delivery goes.

        Args:
            message_id: names the part.
            refs: the message's references.
            results: of each.
            projections: (P,) of each, or None if it has none.
            residuals: what the PCA leaves of each, see `Prediction`.
        """
        if not refs:
            self._store.delete(self._layout.ledger_part(message_id))
            return
        residuals = residuals if residuals is not None else [None] * len(refs)
        rows = [_row(message_id, *parts) for parts in zip(refs, results, projections, residuals, strict=True)]
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        # measured on 256 rows: without either two thirds of the CPU, and two thirds of the size
        pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        self._store.put(self._layout.ledger_part(message_id), buffer.getvalue())

    def rows(self, *, since: date | None = None) -> Iterator[LedgerRow]:
        """Read everything, oldest day first; a picture may occur more than once.

        Args:
            since: only messages of this day and later ones.
        """
        for table in self.tables(ROW_COLUMNS, since=since):
            yield from map(_ledger_row, table.to_pylist())

    def tables(self, columns: Sequence[str], *, since: date | None = None) -> Iterator[pa.Table]:
        """Read some columns, one table per day, oldest first; each row once, compacted or not.

        Args:
            columns: names in SCHEMA.
            since: only messages of this day and later ones.

        Raises:
            StoreUnavailable: the store does not answer, or a day was compacted again and again meanwhile.
        """
        for day in self.days(since=since):
            yield self.day_table(day, columns)

    def days(self, *, since: date | None = None) -> Iterator[Day]:
        """List the days that have rows, oldest first."""
        prefix = self._layout.ledger()
        start_after = f"{prefix}dt={since.isoformat()}/" if since else ""
        listed = (i for i in self._store.list(prefix + "dt=", start_after=start_after))
        for folder, infos in groupby(listed, lambda i: prefix + i.key[len(prefix) :].partition("/")[0] + "/"):
            yield Day(self._store, folder, infos)

    def day_table(self, day: Day, columns: Sequence[str]) -> pa.Table:
        """Read some columns of one day; each row once.

        Raises:
            StoreUnavailable: as `tables`.
        """
        for _ in range(READINGS):
            try:
                tables = list(day.tables(columns))
            except DayChanged:
                day = Day(self._store, day.folder)
                continue
            return pa.concat_tables(tables) if tables else _none(columns)
        raise StoreUnavailable(f"{day.folder} was compacted {READINGS} times while it was read; try again")


def _none(columns: Sequence[str]) -> pa.Table:
    return SCHEMA.empty_table().select(list(columns))


def _row(
    message_id: str,
    ref: ImageRef,
    result: Result,
    projection: NDArray[np.float32] | None,
    residual: float | None,
) -> dict[str, object]:
    return {
        "message_id": message_id,  # of the part, not of the submission: compaction tells parts by it
        "image_id": ref.image_id,
        "bucket": ref.bucket,
        "key": ref.key,
        "version_id": ref.version_id,
        "etag": result.input.etag if result.input else ref.etag,
        "sha256": result.input.sha256 if result.input else None,
        "allow_training": ref.allow_training,
        "status": result.status,
        "cluster_id": result.cluster.id if result.cluster else None,
        "distance": result.distance,
        "projection": None if projection is None else projection.tolist(),
        "residual": residual,
        "model_version": result.model.version if result.model else None,
        "generation": result.model.generation if result.model else None,
        "classified_at": result.classified_at,
    }


def _ledger_row(row: dict[str, object]) -> LedgerRow:
    # the ETag of the ledger is what was read then; the picture of now is what a new model learns from
    ref = ImageRef.model_validate(
        {name: row[name] for name in ("image_id", "bucket", "key", "version_id", "allow_training")}
    )
    return LedgerRow(ref, row["sha256"], row["status"], row["cluster_id"], row["classified_at"])  # type: ignore[arg-type]
