"""Dead letters as a worker writes them: without pictures that were erased while their message travelled."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_store.dead_letters import DeadLetters
from model_store.erasure import Erasure
from model_store.mentions import strings
from model_store.object_store import ObjectStore
from model_store.tombstones import Tombstones


class WorkersDeadLetters(DeadLetters):
    """The dead letters of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        super().__init__(store, collection)
        self._tombstones = Tombstones(store, collection)
        self._erasure = Erasure(store, collection, {})

    def keep(
        self,
        message_id: str,
        message: Mapping[str, Any] | None,
        error: str,
        *,
        history: Sequence[str] = (),
        queue: str | None = None,
        raw: bytes | None = None,
    ) -> str:
        """See DeadLetters. Then look whether a picture was erased, as `Recorder` does."""
        key = super().keep(message_id, message, error, history=history, queue=queue, raw=raw)
        erased = self._tombstones.now()
        if erased and message is not None:
            named = erased.intersection(strings(message if isinstance(message, dict) else dict(message)))
            if named:
                self._erasure.take_out_of(key, named)
        return key
