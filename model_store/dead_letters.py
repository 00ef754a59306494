"""Messages that could not be done, kept with the reason: nothing that was accepted vanishes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from model_store.layout import Layout
from model_store.object_store import ObjectStore


class DeadLetters:
    """The dead letters of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def keep(self, message_id: str, message: Mapping[str, Any], error: str) -> str:
        """Store a message as it came; returns the key."""
        now = datetime.now(UTC)
        key = self._layout.dead(message_id, now)
        record = {"message_id": message_id, "died_at": now.isoformat(), "error": error, "message": message}
        self._store.put(key, json.dumps(record, indent=1, default=str).encode())
        return key
