"""Why pictures have no result, as far as it costs little to know."""

import contextlib
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final

from console.near_collection import near_collection
from console.output import err
from model_store.counted import counted
from model_store.dead_letters import DeadLetter, DeadLetters
from model_store.object_store import ObjectStore
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.errors import BrokerUnavailable, ShoalError

LETTERS_READ: Final = 200  # a request each, and there may be very many


def without_model(registry: Registry, store: ObjectStore) -> str | None:
    """Say that a collection has no model, and what that means for its pictures; None if it has one.

    Args:
        registry: the collection's.
        store: in which another collection may be spelt alike: beside it this one has to be called a new one.
    """
    if registry.alias("champion") is not None:
        return None
    name = registry.collection
    near = near_collection(store, name)
    return (
        f"collection {name} has no model yet: its pictures wait for one (at most for "
        f"SHOAL_WORKER__MODEL_PATIENCE_S). Train it: `shoal train path/to/pictures --collection {name}"
        f"{' --new' if near else ''}`"
    )


def say_if_no_model(registry: Registry, store: ObjectStore) -> None:
    """Say on standard error that what was submitted waits for a model; nothing where that cannot be known."""
    with contextlib.suppress(ShoalError):  # it is submitted, whatever this shell may read
        if said := without_model(registry, store):
            err.print(said, highlight=False, soft_wrap=True)


def reasons(
    store: ObjectStore, registry: Registry, image_ids: Collection[str], waiting: Callable[[], int]
) -> dict[str, str]:
    """Say for each picture why it has no result.

    Args:
        store: of the collection.
        registry: of the collection.
        image_ids: without a result.
        waiting: counts the messages in the broker, whoever's.

    Raises:
        StoreUnavailable, AccessDenied: the store could not be asked.
    """
    erased = Tombstones(store, registry.collection).now()
    found = {image_id: "it was erased" for image_id in image_ids if image_id in erased}
    wanted = set(image_ids) - erased
    for letter in islice(DeadLetters(store, registry.collection).list(), LETTERS_READ if wanted else 0):
        why = f"its message could not be done, see `shoal dead show {letter.id}`"
        found |= dict.fromkeys(wanted & _named_in(letter), why)
    if missing := set(image_ids) - found.keys():
        found |= dict.fromkeys(missing, without_model(registry, store) or _perhaps(waiting))
    return found


def _named_in(letter: DeadLetter) -> set[str]:
    images = (letter.message or {}).get("images")
    listed = images if isinstance(images, list) else []  # it may have died of being something else
    return {str(image.get("image_id")) for image in listed if isinstance(image, Mapping)}


def _perhaps(waiting: Callable[[], int]) -> str:
    try:
        n = waiting()
    except BrokerUnavailable as error:
        return f"not known whether it waits: {error}"
    if n:
        return f"it may be among what waits or is in work, {counted(n, 'message')} of all collections"
    return (
        "no message waits: it was not submitted to this collection, or what Redis held was lost "
        "(`shoal sweep` submits again what has no result)"
    )
