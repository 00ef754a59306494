"""What a retraining learns from: a deterministic sample of the ledger, read again from the uploads.

The originals are the corpus: a picture that was erased is gone from the next model by itself.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog

from model_store.images import ImageSource
from model_store.ledger import LedgerRow
from model_store.object_store import StoredObject
from producer.contracts import ImageRef
from producer.errors import ShoalError

log = structlog.get_logger(__name__)

FETCHED_AT_ONCE: Final = 256


def sample(rows: Iterable[LedgerRow], max_images: int) -> list[ImageRef]:
    """Choose which pictures to learn from: those last seen as `assigned` or `unknown` that may be used.

    The latest row of a picture counts. Of more than `max_images` those with the smallest hash of their
    id are taken: the same ledger gives the same sample, and a longer one keeps most of it.
    """
    latest: dict[str, LedgerRow] = {}
    for row in rows:
        known = latest.get(row.ref.image_id)
        if known is None or known.classified_at <= row.classified_at:
            latest[row.ref.image_id] = row
    usable = (
        row.ref for row in latest.values() if row.ref.allow_training and row.status in {"assigned", "unknown"}
    )
    return sorted(usable, key=lambda ref: hashlib.sha256(ref.image_id.encode()).digest())[:max_images]


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
