"""The append-only record of what was classified: one Parquet part per message, the training data's index.

A part's key follows from its message, so that a second delivery rewrites the same part.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_store.layout import Layout
from model_store.object_store import Get, ObjectStore, StoredObject
from producer.contracts import ImageRef, Result

SCHEMA: Final = pa.schema(
    [
        ("message_id", pa.string()),
        ("image_id", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("version_id", pa.string()),
        ("etag", pa.string()),
        ("sha256", pa.string()),
        ("allow_training", pa.bool_()),
        ("status", pa.string()),
        ("cluster_id", pa.string()),
        ("distance", pa.float32()),
        ("projection", pa.list_(pa.float32())),
        ("model_version", pa.string()),
        ("generation", pa.int64()),
        ("classified_at", pa.timestamp("ms", tz="UTC")),
    ]
)
PARTS_AT_ONCE: Final = 64


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
    ) -> None:
        """Write the part of one message: a reference, its result, and its projection (P,) if it has one.

        Without any, the message has no part; one of an earlier delivery goes.
        """
        if not refs:
            self._store.delete(self._layout.ledger_part(message_id))
            return
        rows = [_row(*parts) for parts in zip(refs, results, projections, strict=True)]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer, compression="zstd")
        self._store.put(self._layout.ledger_part(message_id), buffer.getvalue())

    def rows(self, *, start_after: str = "") -> Iterator[LedgerRow]:
        """Read everything, oldest part first; a picture may occur more than once.

        Args:
            start_after: key of a part; only later ones are read.
        """
        parts = [info.key for info in self._store.list(self._layout.ledger(), start_after=start_after)]
        for at in range(0, len(parts), PARTS_AT_ONCE):
            for table in self._read(parts[at : at + PARTS_AT_ONCE]):
                yield from map(_ledger_row, table.to_pylist())

    def _read(self, keys: list[str]) -> list[pa.Table]:
        tables: dict[int, pa.Table] = {}
        for position, found in self._store.get_many(Get(key) for key in keys):
            if not isinstance(found, StoredObject):
                raise found
            tables[position] = pq.read_table(io.BytesIO(found.data))
        return [tables[position] for position in sorted(tables)]


def _row(ref: ImageRef, result: Result, projection: NDArray[np.float32] | None) -> dict[str, object]:
    return {
        "message_id": result.message_id,
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
