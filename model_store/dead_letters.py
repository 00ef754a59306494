"""Messages that could not be done, kept with the reason: nothing that was accepted vanishes.

A letter's key follows from its message id alone, so that a second delivery rewrites the same letter.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, PreconditionFailed

JSON: Final = ".json"


class DeadLetter(BaseModel):
    """One message that could not be done."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="the message id, or one given to what could not be read")
    died_at: datetime
    error: str = Field(description="the last one")
    history: tuple[str, ...] = Field((), description="what happened before it, oldest first")
    queue: str | None = Field(None, description="where it came from")
    message: SkipValidation[Mapping[str, Any]] | None = Field(None, description="None if it cannot be read")
    raw_size: int | None = Field(None, description="bytes of one that cannot be read, kept beside this")
    raw_sha256: str | None = None


class DeadLetters:
    """The dead letters of one collection; those of no readable collection are in `default`."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

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
        """Store a message as it came; when it returns, all of it is stored. Keeping it again replaces it.

        Args:
            message_id: names the letter: letters, digits and . _ ~ -, best a ULID.
            message: its fields, if it could be read.
            error: why it is given up.
            history: what happened before, oldest first.
            queue: where it came from, and goes back to in a replay.
            raw: the bytes of one that cannot be read.

        Returns:
            The letter's key.

        Raises:
            InvalidReference: `message_id` cannot be part of a key.
            RecursionError: `message` is nested some 990 deep, Python's own limit for JSON: give it as `raw`.
            StoreUnavailable, AccessDenied: it is not stored.
        """
        key = self._layout.dead_letter(message_id)
        record: dict[str, Any] = {
            "id": message_id,
            "died_at": datetime.now(UTC).isoformat(),
            "error": _sayable(error),
            "history": [_sayable(line) for line in history],
            "queue": queue,
            "message": message,
        }
        if raw is not None:
            record |= {"raw_size": len(raw), "raw_sha256": hashlib.sha256(raw).hexdigest()}
        data = json.dumps(record, default=str).encode()
        if raw is not None:  # first: a letter that can be seen is whole
            self._store.put(self._layout.dead_raw(message_id), raw)
        self._store.put(key, data)
        return key

    def ids(self) -> Iterator[str]:
        """Name all letters without reading them, by the day of their messages; streams."""
        for info in self._store.list(self._layout.dead()):
            if info.key.endswith(JSON):
                yield info.key.rpartition("/")[2].removesuffix(JSON)

    def list(self) -> Iterator[DeadLetter]:
        """Read all letters, one by one, by the day of their messages; streams."""
        for message_id in self.ids():
            with contextlib.suppress(ObjectNotFound):  # dropped meanwhile
                yield self.get(message_id)

    def get(self, message_id: str) -> DeadLetter:
        """Read one letter.

        Raises:
            ObjectNotFound: there is none of this id.
        """
        return self.get_with_etag(message_id)[0]

    def get_with_etag(self, message_id: str) -> tuple[DeadLetter, str]:
        """Read one letter, and the tag by which `drop` removes just this state of it.

        Raises:
            ObjectNotFound: there is none of this id.
        """
        try:
            return self._read(self._layout.dead_letter(message_id))
        except ObjectNotFound as error:
            raise ObjectNotFound(
                f"no dead letter {message_id} in collection {self._layout.collection}: "
                "`shoal dead list` shows which there are"
            ) from error

    def raw(self, message_id: str) -> bytes:
        """Read the bytes of a message that could not be read.

        Raises:
            ObjectNotFound: there is no such letter, or it has none.
            PreconditionFailed: they are not the ones that were kept.
        """
        letter = self.get(message_id)
        if letter.raw_sha256 is None:
            raise ObjectNotFound(f"the dead letter {message_id} has no raw bytes: its message could be read")
        data = self._store.get(self._layout.dead_raw(message_id)).data
        if hashlib.sha256(data).hexdigest() != letter.raw_sha256:
            raise PreconditionFailed(f"the raw bytes of {message_id} are not the ones that were kept")
        return data

    def drop(self, message_id: str, *, if_match: str | None = None) -> None:
        """Remove a letter for good; removing what is not there is not an error.

        Args:
            message_id: whose.
            if_match: only if the letter still has this tag: it may have died again meanwhile.

        Raises:
            PreconditionFailed: it died again, and stays; or somebody else dropped it.
        """
        # a letter first, its bytes last: a kill in between leaves bytes that no letter speaks of
        self._store.delete(self._layout.dead_letter(message_id), if_match=if_match)
        self._store.delete(self._layout.dead_raw(message_id))

    def _read(self, key: str) -> tuple[DeadLetter, str]:
        found = self._store.get(key)
        name = key.rpartition("/")[2].removesuffix(JSON)
        try:
            record = json.loads(found.data)
            return DeadLetter.model_validate({**record, "id": name}), found.etag
        except (ValueError, TypeError, RecursionError, ValidationError) as error:
            reason = f"the dead letter at {key} cannot be read: {type(error).__name__}"
            return DeadLetter(id=name, died_at=datetime.fromtimestamp(0, UTC), error=reason), found.etag


def _sayable(text: str) -> str:
    """Replace what UTF-8 cannot write, such as half a surrogate pair out of a stranger's JSON."""
    return text.encode(errors="replace").decode()
