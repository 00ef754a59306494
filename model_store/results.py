"""The latest result of every picture: one JSON object at a key that depends only on the picture.

A redelivered message overwrites itself; a result is never replaced by one of an older model, nor by
one of an older submission under the same model.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import structlog
from pydantic import ValidationError

from model_store.layout import Layout
from model_store.object_store import Get, ObjectStore, StoredObject
from producer.contracts import Result
from producer.errors import ObjectNotFound, PreconditionFailed, ShoalError

log = structlog.get_logger(__name__)

PREDICTED: Final = ("assigned", "unknown")
ATTEMPTS: Final = 20  # of a compare-and-swap among workers that write the same picture


class Results:
    """The results of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._layout = Layout(collection)

    def save(self, results: Iterable[Result]) -> None:
        """Write all; when it returns, each picture has this result or a newer one.

        Raises:
            StoreUnavailable, AccessDenied: some may be written; saving again completes them.
        """
        by_key = {self._layout.result(result.image_id): result for result in results}
        written = self._store.put_many(
            {key: result.model_dump_json().encode() for key, result in by_key.items()}, create_only=True
        )
        for key, outcome in written.items():
            if isinstance(outcome, PreconditionFailed):
                self._replace(key, by_key[key])
            elif isinstance(outcome, ShoalError):
                raise outcome

    def remove(self, image_ids: Iterable[str]) -> None:
        """Remove the results of pictures; removing what is not there is not an error."""
        for image_id in image_ids:
            self._store.delete(self._layout.result(image_id))

    def get(self, image_id: str) -> Result:
        """Read one.

        Raises:
            ObjectNotFound: this picture has no result (yet).
        """
        try:
            return Result.model_validate_json(self._store.get(self._layout.result(image_id)).data)
        except ObjectNotFound as error:
            raise ObjectNotFound(
                f"{image_id} has no result in collection {self._layout.collection} (yet)"
            ) from error

    def get_many(self, image_ids: Iterable[str]) -> Iterator[Result]:
        """Read those that exist, in the order of arrival."""
        for _, found in self._store.get_many(Get(self._layout.result(image_id)) for image_id in image_ids):
            if isinstance(found, StoredObject):
                yield Result.model_validate_json(found.data)
            elif not isinstance(found, ObjectNotFound):
                raise found

    def _replace(self, key: str, result: Result) -> None:
        for _ in range(ATTEMPTS):
            try:
                present = self._store.get(key)
            except ObjectNotFound:  # erased in between
                etag, replace = None, True
            else:
                etag, replace = present.etag, self._replaces(result, present)
            if not replace:
                return
            try:
                self._store.put(
                    key, result.model_dump_json().encode(), create_only=etag is None, if_match=etag
                )
            except PreconditionFailed:
                continue
            return
        raise PreconditionFailed(f"{key} kept changing")

    @staticmethod
    def _replaces(result: Result, present: StoredObject) -> bool:
        try:
            return supersedes(result, Result.model_validate_json(present.data))
        except ValidationError as error:  # damaged, or of a later version of Shoal that was rolled back
            log.warning(
                "a stored result cannot be read and is replaced", image_id=result.image_id, reason=str(error)
            )
            return True


def supersedes(new: Result, old: Result) -> bool:
    """Tell whether a result may take another's place: newer model first, then newer submission.

    Of one submission by one model an answer stays: a second delivery may find the upload gone, or be late.
    """
    if _rank(new) == _rank(old) and old.status in PREDICTED:
        return new.status in PREDICTED
    return _rank(new) >= _rank(old)


def _rank(result: Result) -> tuple[int, str]:
    return (result.model.generation if result.model else 0, result.message_id)
