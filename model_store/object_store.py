"""What Shoal asks of an object store: one bucket, whole objects, conditional writes.

`MemoryStore` is the fake for unit tests; it and `s3.S3Store` pass the same suite,
`tests/integration/test_object_store.py`.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from model_store.byte_budget import ByteBudget
from producer.errors import ObjectNotFound, PreconditionFailed, ShoalError, TooLarge

ANY_SIZE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the tag of this state of it."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Get:
    """One read: of the current object, of one version, or only if the ETag is still this."""

    key: str
    version_id: str | None = None
    if_match: str | None = None


class ObjectStore(Protocol):
    """One bucket. ETags carry no quotes. Every method is safe to call from many threads.

    All raise StoreUnavailable when the store does not answer, and AccessDenied when it refuses.
    """

    def get(self, key: str) -> StoredObject:
        """Read one object.

        Raises:
            ObjectNotFound: no such key.
        """

    def get_many(
        self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE, budget: ByteBudget | None = None
    ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
        """Read many objects at once; yields (position, object or why not) in the order of arrival.

        An object over `max_bytes` gives TooLarge, unread; a failed `if_match` gives PreconditionFailed. With
        a `budget` no bytes are read that do not fit: whoever gets an object gives `len(data)` back when done
        with it; what was read and is not asked for any more gives it back by itself.
        """

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        """Write one object whole; returns its ETag.

        Args:
            key: where to.
            data: all of it.
            create_only: only if no object has this key.
            if_match: only if the object still has this ETag.

        Raises:
            PreconditionFailed: the condition does not hold; nothing was written. Of racing writers one wins.
        """

    def put_many(
        self, items: Mapping[str, bytes], *, create_only: bool = False
    ) -> dict[str, str | ShoalError]:
        """Write many objects at once; gives each key its ETag or why it was not written."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """List keys with this prefix in order, after `start_after`; streams, page by page."""

    def folders(self, prefix: str) -> Iterator[str]:
        """List what stands between the prefix and the next `/` in any key, each once, in order."""

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Remove an object; removing what is not there is not an error without a condition.

        Raises:
            PreconditionFailed: it has another ETag than `if_match`, or is gone; nothing was removed.
        """


class MemoryStore:
    """An ObjectStore in a dict, for unit tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, StoredObject] = {}
        self._modified_at: dict[str, datetime] = {}

    def get(self, key: str) -> StoredObject:
        """See ObjectStore."""
        with self._lock:
            if key not in self._objects:
                raise ObjectNotFound(f"no object {key}")
            return self._objects[key]

    def get_many(
        self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE, budget: ByteBudget | None = None
    ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
        """See ObjectStore."""
        for position, wanted in enumerate(gets):
            found = self._get_or_error(wanted, max_bytes)
            if budget is not None and isinstance(found, StoredObject):
                budget.take(len(found.data))
            yield position, found

    def _get_or_error(self, wanted: Get, max_bytes: int) -> StoredObject | ShoalError:
        try:
            found = self.get(wanted.key)
        except ObjectNotFound as error:
            return error
        if wanted.if_match not in (None, found.etag):
            return PreconditionFailed(f"{wanted.key} has changed")
        if len(found.data) > max_bytes:
            return TooLarge(f"{wanted.key} has {len(found.data)} bytes, the limit is {max_bytes}")
        return found

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        """See ObjectStore."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        with self._lock:
            present = self._objects.get(key)
            if create_only and present is not None:
                raise PreconditionFailed(f"{key} exists")
            if if_match is not None and (present is None or present.etag != if_match):
                raise PreconditionFailed(f"{key} has changed")
            self._objects[key] = StoredObject(bytes(data), etag)
            self._modified_at[key] = datetime.now(UTC)
        return etag

    def put_many(
        self, items: Mapping[str, bytes], *, create_only: bool = False
    ) -> dict[str, str | ShoalError]:
        """See ObjectStore."""
        outcome: dict[str, str | ShoalError] = {}
        for key, data in items.items():
            try:
                outcome[key] = self.put(key, data, create_only=create_only)
            except PreconditionFailed as error:
                outcome[key] = error
        return outcome

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        with self._lock:
            found = sorted((key, item) for key, item in self._objects.items() if key.startswith(prefix))
        for key, item in found:
            if key > start_after:
                yield ObjectInfo(key, len(item.data), item.etag, self._modified_at[key])

    def folders(self, prefix: str) -> Iterator[str]:
        """See ObjectStore."""
        below = (info.key.removeprefix(prefix) for info in self.list(prefix))
        yield from dict.fromkeys(name.partition("/")[0] for name in below if "/" in name)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See ObjectStore."""
        with self._lock:
            present = self._objects.get(key)
            if if_match is not None and (present is None or present.etag != if_match):
                raise PreconditionFailed(f"{key} has changed")
            self._objects.pop(key, None)
