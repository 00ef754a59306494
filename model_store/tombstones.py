"""Which pictures of a collection were erased and must not come back.

```
{collection}/tombstones/{image_id}   one empty-handed object per picture, for good
{collection}/tombstones.json         changes with every erasure: what readers look at
```
An erasure writes the tombstones, then the change, and only then removes. Whoever writes something that names
a picture looks at `now()` after writing, and takes it back if the picture is among them. Either the look came
after the change, and the writer removes; or the write came before it, and the erasure finds it.
"""

import json
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, ShoalError
from producer.ulid import new_ulid

FRESH_S: Final = 5.0
NONE: Final[frozenset[str]] = frozenset()


class Tombstones:
    """The tombstones of one collection. Thread-safe."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)
        self._lock = threading.Lock()
        self._change = ""  # the change up to which `_known` is complete
        self._known = NONE
        self._read_at = float("-inf")

    def set(self, image_ids: Iterable[str], request: str) -> None:
        """Say that these pictures are erased. When it returns, every later `now()` anywhere has them.

        Raises:
            StoreUnavailable, AccessDenied: some may be set; setting again completes them.
        """
        note = json.dumps({"erased_at": datetime.now(UTC).isoformat(), "request": request}).encode()
        written = self._store.put_many({self._layout.tombstone(image_id): note for image_id in image_ids})
        for outcome in written.values():
            if isinstance(outcome, ShoalError):
                raise outcome
        self._store.put(self._layout.tombstones_changed(), json.dumps({"change": new_ulid()}).encode())

    def now(self) -> frozenset[str]:
        """Give all erased pictures as of this call: one small read, and a listing after a change.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        change = self._last_change()
        with self._lock:
            if change == self._change:
                self._read_at = time.monotonic()
                return self._known
        known = self._listed() if change else NONE  # at least as new as the change that was read before it
        with self._lock:
            self._change, self._known, self._read_at = change, known, time.monotonic()
            return known

    def recent(self) -> frozenset[str]:
        """Give the erased pictures as of a few seconds ago: usually without asking the store."""
        with self._lock:
            if time.monotonic() - self._read_at < FRESH_S:
                return self._known
        return self.now()

    def _last_change(self) -> str:
        try:
            return self._store.get(self._layout.tombstones_changed()).etag
        except ObjectNotFound:
            return ""

    def _listed(self) -> frozenset[str]:
        prefix = self._layout.tombstones()
        return frozenset(info.key.removeprefix(prefix) for info in self._store.list(prefix))
