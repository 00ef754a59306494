"""Stores that let a test step in at any moment."""

from collections.abc import Callable, Iterator

from model_store.erasure import Erasure
from model_store.object_store import MemoryStore, ObjectInfo, StoredObject


class Watched(MemoryStore):
    """Calls `on_call` before everything that is asked of it."""

    on_call: Callable[[], None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def _tell(self) -> None:
        if self.on_call is not None:
            self.on_call()

    def get(self, key: str) -> StoredObject:
        self._tell()
        self.read.append(key)
        return super().get(key)

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        self._tell()
        return super().put(key, data, create_only=create_only, if_match=if_match)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        self._tell()
        super().delete(key, if_match=if_match)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """List page by page, one key each: what goes meanwhile may be missed."""
        while True:
            self._tell()
            info = next(super().list(prefix, start_after=start_after), None)
            if info is None:
                return
            yield info
            start_after = info.key


class Killed(BaseException):
    """Stands for the end of the process: nothing is recorded, nothing is tidied up."""


class Mortal(MemoryStore):
    """Dies at the n-th change that is asked of it, and is dead from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []
        self.die_at: int | None = None
        self.before: Callable[[str], None] | None = None

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        if self.before is not None:
            self.before(key)
        if self.die_at is not None and len(self.changes) >= self.die_at:
            raise Killed
        self.changes.append(key)
        return super().put(key, data, create_only=create_only, if_match=if_match)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        if self.die_at is not None and len(self.changes) >= self.die_at:
            raise Killed
        self.changes.append(key)
        super().delete(key, if_match=if_match)


class ErasedMeanwhile(MemoryStore):
    """The whole erasure happens right before or after the n-th write of the worker."""

    def __init__(self, collection: str, at: int, *, after: bool) -> None:
        super().__init__()
        self.collection = collection
        self.at, self.after, self.writes, self.erasing = at, after, 0, False

    def erase(self, *, now: bool) -> None:
        if now and self.writes == self.at and not self.erasing:
            self.erasing = True
            Erasure(self, self.collection, {}).run(["a"])

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        self.writes += not self.erasing
        self.erase(now=not self.after)
        etag = super().put(key, data, create_only=create_only, if_match=if_match)
        self.erase(now=self.after)
        return etag
