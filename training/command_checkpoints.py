"""Checkpoints of `shoal train`: the same command, given again, finds what the one before it left.

```
with a store    {collection}/runs/train-{digest of corpus and settings}/checkpoint.safetensors
with --out      {out}/.checkpoint
```
Both are removed when the model is there. What a command left that nobody gave again is removed from the store
by a later one, after a week.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound
from training.checkpoint import TimedCheckpoints

FILE_NAME: Final = ".checkpoint"
STALE: Final = timedelta(days=7)
_SLOT: Final = "train-"
_NAME: Final = "checkpoint.safetensors"


class StoreCheckpoints(TimedCheckpoints):
    """One object in the store, under a key that follows from corpus and settings."""

    def __init__(self, store: ObjectStore, collection: str, every_s: float) -> None:
        super().__init__(every_s)
        self._store = store
        self._layout = Layout(collection)

    def clear(self) -> None:
        """Remove it, and those that nobody has come back for."""
        if self._digest:
            self._store.delete(self._key())
        for info in self._store.list(f"{self._layout.runs()}{_SLOT}"):
            if info.key.endswith(f"/{_NAME}") and datetime.now(UTC) - info.modified_at > STALE:
                self._store.delete(info.key)

    def _write(self, data: bytes) -> None:
        self._store.put(self._key(), data)

    def _found(self) -> Iterator[tuple[str, bytes]]:
        try:
            yield self._key(), self._store.get(self._key()).data
        except ObjectNotFound:
            return

    def _key(self) -> str:
        return self._layout.run_file(f"{_SLOT}{self._digest[:32]}", _NAME)


class FileCheckpoints(TimedCheckpoints):
    """One file beside the bundle that is to come; a reader sees the old one whole or the new one."""

    def __init__(self, folder: Path, every_s: float) -> None:
        super().__init__(every_s)
        self._path = folder / FILE_NAME

    def clear(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)
        self._draft().unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._draft().open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._draft().replace(self._path)

    def _found(self) -> Iterator[tuple[str, bytes]]:
        if self._path.is_file():
            yield str(self._path), self._path.read_bytes()

    def _draft(self) -> Path:
        return self._path.with_name(f"{FILE_NAME}.new")
