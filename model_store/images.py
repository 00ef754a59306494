"""Reading uploaded pictures: only from allowed buckets, never more bytes than the limit."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from model_store.byte_budget import ByteBudget, SplitBudget
from model_store.object_store import Get, ObjectStore, StoredObject
from producer.contracts import ErrorCode, ImageRef
from producer.errors import AccessDenied, ObjectNotFound, PreconditionFailed, ShoalError, TooLarge

# what the store said -> what the submitter is told
_CODES: tuple[tuple[type[ShoalError], ErrorCode], ...] = (
    (ObjectNotFound, "fetch.not_found"),
    (PreconditionFailed, "fetch.changed"),
    (TooLarge, "fetch.too_large"),
    (AccessDenied, "fetch.denied"),
)


@dataclass(frozen=True, slots=True)
class Unfetchable:
    """A picture that cannot be read however often it is tried."""

    code: ErrorCode
    detail: str


Fetched = StoredObject | Unfetchable | ShoalError


class ImageSource:
    """The uploads buckets."""

    def __init__(
        self, stores: Mapping[str, ObjectStore], max_bytes: int, budget: SplitBudget | None = None
    ) -> None:
        """Allow exactly the buckets in `stores`, objects of at most `max_bytes`, and a `budget` for all."""
        self._stores = stores
        self._max_bytes = max_bytes
        self._budget = budget

    def budget(self, *, urgent: bool) -> ByteBudget | None:
        """Give what the bytes of a picture are taken from."""
        return None if self._budget is None else self._budget.of_whom(urgent=urgent)

    def fetch(self, refs: Sequence[ImageRef], *, urgent: bool = False) -> Generator[tuple[int, Fetched]]:
        """Read pictures; yields (position, outcome) in the order of arrival, bucket by bucket.

        An outcome is the object; Unfetchable, the reference's fault; or an error that may pass. With a budget
        its bytes are the caller's to give back, see ObjectStore; those of what is urgent are counted apart.
        """
        by_bucket: dict[str, list[int]] = {}
        for position, ref in enumerate(refs):
            by_bucket.setdefault(ref.bucket, []).append(position)
        for bucket, positions in by_bucket.items():
            if bucket not in self._stores:
                denied = Unfetchable(
                    "fetch.denied", f"the bucket {bucket} is not among those the worker may read"
                )
                yield from ((position, denied) for position in positions)
                continue
            gets = [Get(refs[i].key, refs[i].version_id, refs[i].etag) for i in positions]
            budget = self.budget(urgent=urgent)
            arriving = self._stores[bucket].get_many(gets, max_bytes=self._max_bytes, budget=budget)
            for nth, found in arriving:
                yield positions[nth], _outcome(found)


def _outcome(found: StoredObject | ShoalError) -> Fetched:
    for kind, code in _CODES:
        if isinstance(found, kind):
            return Unfetchable(code, str(found))
    return found
