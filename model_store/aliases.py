"""The aliases of one collection: which version is champion, which one challenger, and who was before.

Every move of the champion is a compare-and-swap, raises its generation, and is kept with its reason.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from model_store.alias import Alias, Target
from model_store.layout import AliasName, Layout
from model_store.object_store import ObjectStore
from producer.errors import BundleInvalid, ObjectNotFound, PreconditionFailed

ATTEMPTS: Final = 50  # of a compare-and-swap among racing promoters


class Aliases:
    """What points at versions; whether these are there and may serve is `registry`'s to know."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def get(self, name: AliasName) -> Alias | None:
        """Read an alias; None if it was never set.

        Raises:
            BundleInvalid: it cannot be read.
        """
        found = self._read(name)
        return found[0] if found else None

    def moves(self) -> Iterator[Alias]:
        """List every champion there was, oldest first, each with the reason why it became one."""
        last = 0
        for info in self._store.list(self._layout.alias_moves()):
            alias = Alias.model_validate_json(self._store.get(info.key).data)
            last = alias.generation
            yield alias
        champion = self.get("champion")
        if champion is not None and champion.generation > last:  # whoever promoted it died before the note
            yield champion

    def set_challenger(self, target: Target, reason: str) -> None:
        """Point `challenger` at a version that was published and not promoted."""
        alias = Alias(version=target.version, sha256=target.sha256, generation=0, reason=reason)
        self._store.put(self._layout.alias("challenger"), alias.model_dump_json().encode())

    def move_champion(
        self, target: Target, reason: str, expected_generation: int | None, *, back: bool = False
    ) -> Alias:
        """Point `champion` at another version, and `previous` at the one before; give the one there is then.

        Args:
            target: a published version.
            reason: kept in the alias.
            expected_generation: only if the champion still has this one (0: only if there is none).
            back: it is a rollback, from which no further one leads forward.

        Raises:
            PreconditionFailed: somebody else moved it meanwhile.
        """
        for _ in range(ATTEMPTS):
            found = self._read("champion")
            generation, before = (found[0].generation, found[0]) if found else (0, None)
            if before is not None:
                self._note_move(before)
            if expected_generation not in (None, generation):
                raise PreconditionFailed(
                    f"the champion moved on to generation {generation}: look again before promoting"
                )
            if before is not None and before.sha256 == target.sha256:
                return before  # it is the champion: a move would only lose the way back
            alias = Alias(
                version=target.version,
                sha256=target.sha256,
                generation=generation + 1,
                reason=reason,
                previous=Target(version=before.version, sha256=before.sha256)
                if before and not back
                else None,
            )
            try:
                self._write("champion", alias, found[1] if found else None)
            except PreconditionFailed:
                continue
            self._note_previous(before)
            self._note_move(alias)
            return alias
        raise PreconditionFailed(f"the champion of {self._layout.collection} kept moving; try again")

    def _note_move(self, alias: Alias) -> None:
        """Keep a champion in the history, if whoever promoted it did not come to that."""
        with contextlib.suppress(PreconditionFailed):
            key = self._layout.alias_move(alias.generation)
            self._store.put(key, alias.model_dump_json().encode(), create_only=True)

    def _note_previous(self, before: Alias | None) -> None:
        """Show people where rollback goes; the truth is in the champion, so a lost race is no loss."""
        found = self._read("previous")
        if before is not None and (found is None or found[0].generation < before.generation):
            try:
                self._write("previous", before, found[1] if found else None)
            except PreconditionFailed:
                return

    def _read(self, name: AliasName) -> tuple[Alias, str] | None:
        try:
            found = self._store.get(self._layout.alias(name))
        except ObjectNotFound:
            return None
        try:
            return Alias.model_validate_json(found.data), found.etag
        except ValidationError as error:
            raise BundleInvalid(f"the alias {self._layout.alias(name)} cannot be read: {error}") from error

    def _write(self, name: AliasName, alias: Alias, etag: str | None) -> None:
        data = alias.model_dump_json().encode()
        self._store.put(self._layout.alias(name), data, create_only=etag is None, if_match=etag)
