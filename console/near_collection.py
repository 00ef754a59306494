"""A mistyped collection is a new one to everything else; here it is noticed."""

import contextlib
from difflib import get_close_matches
from typing import Final

from console.output import err
from model_store.object_store import ObjectStore
from model_store.process_settings import ALIKE
from producer.errors import ShoalError

HELD: Final = {"models", "ledger", "results"}  # a collection without any of them may be a slip


def near_collection(store: ObjectStore, collection: str) -> str | None:
    """Give the collection that was probably meant; None if this one has models or pictures, or none is alike.

    Raises:
        StoreUnavailable, AccessDenied: the store could not be asked.
    """
    if HELD & set(store.folders(f"{collection}/")):
        return None
    others = [name for name in store.folders("") if name != collection]
    return next(iter(get_close_matches(collection, others, n=1, cutoff=ALIKE)), None)


def say_if_mistyped(store: ObjectStore, collection: str) -> None:
    """Say on standard error which collection was probably meant; nothing where that cannot be known."""
    with contextlib.suppress(ShoalError):
        if near := near_collection(store, collection):
            err.print(
                f"collection {collection} has no model and no pictures yet: did you mean {near}?",
                highlight=False,
                soft_wrap=True,
            )
