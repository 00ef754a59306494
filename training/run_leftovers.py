"""What a run keeps beside its record while it runs; a trainer killed just after its end leaves it there."""

from collections.abc import Collection

import structlog

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from training.checkpoint import NAME_BEGINS
from training.run_corpus import KEPT_AS

log = structlog.get_logger(__name__)


def remove_leftovers(store: ObjectStore, collection: str, ended: Collection[str]) -> None:
    """Remove the checkpoints and the choice of pictures of runs that have ended; their reports stay.

    An ended run is never taken up again, so nothing is raced; any number at once do what one does.

    Args:
        store: of the collection.
        collection: whose runs.
        ended: slots of the runs that have ended, by their records.

    Raises:
        StoreUnavailable, AccessDenied: not all was removed; doing it again completes it.
    """
    prefix = Layout(collection).runs()
    for info in store.list(prefix):
        slot, _, name = info.key.removeprefix(prefix).partition("/")
        if slot in ended and (name == KEPT_AS or name.startswith(NAME_BEGINS)):
            store.delete(info.key)
            log.info("what an ended run had left is removed", collection=collection, key=info.key)
