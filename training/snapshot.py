"""What a retraining learns from: a deterministic sample of the ledger, read again from the uploads.

```
ledger, some columns      the latest submission of a picture counts; not erased, assigned or unknown
 -> consent                no submission of it, however old, said `allow_training: false`
 -> the same bytes once   by the sha256 that was read
 -> share per uploader    no uploader has more than `max_uploader_share` of what is taken
 -> recent and old        half of the places are for the `recent_days` before the newest picture
 -> max_images            within both, those with the smallest hash of their id
```

The same ledger gives the same sample, in whatever order it is read and whether or not it is compacted; a
longer one keeps most of it. A picture's age is when it was first classified: a backfill makes none younger.
The originals are the corpus: a picture that was erased is gone from the next model by itself.

Memory: about 100 bytes per row of the ledger, in Arrow's columns.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model_store.images import ImageSource
from model_store.ledger import SCHEMA, Ledger
from model_store.object_store import StoredObject
from producer.contracts import ImageRef
from producer.errors import ShoalError

log = structlog.get_logger(__name__)

FETCHED_AT_ONCE: Final = 256
COLUMNS: Final = (
    "message_id",
    "image_id",
    "bucket",
    "key",
    "version_id",
    "allow_training",
    "status",
    "sha256",
    "classified_at",
)
NEWEST_LAST: Final = (  # all columns: equal rows only are tied
    "message_id",
    "classified_at",
    *(name for name in COLUMNS if name not in ("message_id", "classified_at", "image_id")),
)
REF_COLUMNS: Final = ("image_id", "bucket", "key", "version_id")
KEPT_COLUMNS: Final = (*REF_COLUMNS, "first_at")
USABLE: Final = ("assigned", "unknown")
LEAST_FAIR: Final = 2.0  # equal shares must lie this far under the limit, or the limit means nothing


class SnapshotSettings(BaseModel):
    """Which pictures of the ledger are learnt from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recent_days: float = Field(
        30.0, gt=0, description="half of the places are for pictures this much younger than the newest"
    )
    uploader_segments: int = Field(
        1, ge=0, description="segments of the key that name its uploader; 0: keys do not tell"
    )
    max_uploader_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="most that one uploader has of the sample; held to among 2 / share uploaders or more",
    )
    near_duplicates: bool = Field(True, description="leave out pictures that look like one that was taken")


def choose(ledger: Ledger, erased: Collection[str], max_images: int, settings: SnapshotSettings) -> pa.Table:
    """Read the ledger and choose what to learn from; gives KEPT_COLUMNS.

    Args:
        ledger: of the collection.
        erased: ids of pictures that were erased.
        max_images: at most so many.
        settings: how they are chosen.
    """
    return sample(usable(ledger.tables(COLUMNS), erased), max_images, settings)


def usable(tables: Iterable[pa.Table], erased: Collection[str] = ()) -> pa.Table:
    """Reduce rows of the ledger (`COLUMNS`) to one per picture that may be learnt from.

    A picture that was once submitted with `allow_training: false` is out for good: a message sent before that
    (a backfill, one that waited long) may be done after it, and must not bring the picture back.
    Gives REF_COLUMNS, `sha256` and `first_at`, in no particular order.
    """
    rows = pa.concat_tables([SCHEMA.empty_table().select(COLUMNS), *tables])
    newest_last = rows.sort_by([(name, "ascending") for name in NEWEST_LAST])
    numbered = newest_last.append_column("row", pa.array(np.arange(len(rows))))
    found = [("row", "max"), ("classified_at", "min"), ("allow_training", "min")]
    groups = numbered.group_by("image_id").aggregate(found)
    latest = newest_last.take(groups["row_max"]).append_column("first_at", groups["classified_at_min"])
    wanted = pc.and_(groups["allow_training_min"], pc.is_in(latest["status"], value_set=pa.array(USABLE)))
    if erased:
        gone = pc.is_in(latest["image_id"], value_set=pa.array(sorted(erased), pa.string()))
        wanted = pc.and_(wanted, pc.invert(gone))
    return latest.filter(wanted).select([*REF_COLUMNS, "sha256", "first_at"])


def sample(pictures: pa.Table, max_images: int, settings: SnapshotSettings) -> pa.Table:
    """Choose pictures of `usable`; gives KEPT_COLUMNS, in an order that follows from the ids alone."""
    hashes = np.fromiter(map(_hash, _values(pictures["image_id"])), np.uint64, len(pictures))
    pictures = pictures.take(pa.array(np.argsort(hashes, kind="stable")))
    pictures = distinct(pictures)
    if not len(pictures):
        return pictures.select(KEPT_COLUMNS)
    uploaders = _uploaders(pictures, settings.uploader_segments)
    cap = most_per_uploader(np.bincount(uploaders), max_images, settings.max_uploader_share)
    order = _balanced(pictures["first_at"], settings.recent_days)
    kept = order[_nth_of_its_kind(uploaders[order]) < cap]
    again = _balanced(pictures["first_at"].take(pa.array(kept)), settings.recent_days)
    return pictures.take(pa.array(kept[again][:max_images])).select(KEPT_COLUMNS)


def distinct(pictures: pa.Table) -> pa.Table:
    """Keep the first picture of the same bytes, and each of which no digest is known."""
    digests = pictures["sha256"].combine_chunks().dictionary_encode()
    codes = digests.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pictures.filter(pa.array((codes < 0) | (_nth_of_its_kind(codes) == 0)))


def most_per_uploader(counts: NDArray[np.int64], max_images: int, max_share: float) -> int:
    """Give the largest number per uploader (U,) that leaves none with more than its share of the sample."""
    fair = len(counts) * max_share
    if fair < LEAST_FAIR:
        return max_images
    least, most = 1, int(counts.max())
    while least < most:
        cap = (least + most + 1) // 2
        taken = min(int(np.minimum(counts, cap).sum()), max_images)
        least, most = (cap, most) if cap <= max_share * taken else (least, cap - 1)
    return least


def references(refs: pa.Table) -> list[ImageRef]:
    """Turn the chosen rows into references; the ETag of then is left out, the picture of now counts."""
    return [ImageRef.model_validate(row) for row in refs.select(REF_COLUMNS).to_pylist()]


def span_of(refs: pa.Table) -> tuple[datetime, datetime] | None:
    """Tell when the first and the last of the chosen pictures were first classified; None of none."""
    if "first_at" not in refs.column_names or not len(refs):  # kept by a run of an earlier version
        return None
    ends = pc.min_max(refs["first_at"]).as_py()
    return ends["min"], ends["max"]


def read_originals(images: ImageSource, refs: Sequence[ImageRef]) -> Iterator[tuple[str, bytes]]:
    """Yield (image id, file) for each picture that still exists, in the order of `refs`.

    Raises:
        StoreUnavailable: the store failed; a model of whatever happened to be readable would not do.
    """
    gone = 0
    for start in range(0, len(refs), FETCHED_AT_ONCE):
        part = refs[start : start + FETCHED_AT_ONCE]
        found = dict(images.fetch(part))
        for position, ref in enumerate(part):
            outcome = found[position]
            if isinstance(outcome, StoredObject):
                yield ref.image_id, outcome.data
            elif isinstance(outcome, ShoalError):
                raise outcome
            else:
                gone += 1
    if gone:
        log.info("pictures of the ledger are no longer there", pictures=gone)


def _hash(image_id: str) -> int:
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")


def _values(column: pa.ChunkedArray) -> Iterator[str]:
    for chunk in column.chunks:
        for at in range(0, len(chunk), 4096):
            yield from chunk.slice(at, 4096).to_pylist()


def _uploaders(pictures: pa.Table, segments: int) -> NDArray[np.int64]:
    """Number the uploaders (N,): by bucket and the first segments of the key; a key with fewer tells none."""
    if not segments:
        return np.zeros(len(pictures), np.int64)
    prefix = pc.extract_regex(pictures["key"], rf"^(?P<prefix>(?:[^/]*/){{{segments}}})")
    named = pc.binary_join_element_wise(
        pictures["bucket"], pc.coalesce(pc.struct_field(prefix, "prefix"), ""), "/"
    )
    codes = named.combine_chunks().dictionary_encode().indices
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _balanced(first_at: pa.ChunkedArray, recent_days: float) -> NDArray[np.int64]:
    """Order rows so that any beginning is half recent, half old, as far as both last."""
    moments = first_at.to_numpy().astype("datetime64[ms]")
    recent = moments > moments.max() - np.timedelta64(round(recent_days * 86_400_000), "ms")
    position = np.where(recent, np.cumsum(recent) * 2, np.cumsum(~recent) * 2 + 1)
    return np.argsort(position, kind="stable")


def _nth_of_its_kind(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tell each row (N,) how many rows before it have the same code."""
    order = np.argsort(codes, kind="stable")
    in_order = codes[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]]) if len(codes) else order
    lengths = np.diff(np.r_[starts, len(codes)])
    nth = np.empty(len(codes), np.int64)
    nth[order] = np.arange(len(codes)) - np.repeat(starts, lengths)
    return nth
