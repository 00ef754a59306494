"""The pictures nearest to each cluster's centre: `models/{version}/exemplars.json`.

The one file of a version that its manifest does not list: it names pictures, and an erasure takes a picture
out of it, while all other files stay as they were published and name none.
"""

from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter

from model_store.bundle import EXEMPLARS, ClusterEntry
from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound

Exemplars = dict[str, tuple[str, ...]]  # cluster id -> picture ids, nearest first
_EXEMPLARS: Final = TypeAdapter(Exemplars)


def exemplars_to_bytes(clusters: Iterable[ClusterEntry]) -> bytes:
    """Write the file."""
    return _EXEMPLARS.dump_json({entry.id: entry.exemplars for entry in clusters}, indent=1)


def exemplars_from_bytes(data: bytes) -> Exemplars:
    """Read the file."""
    return _EXEMPLARS.validate_json(data)


def read_exemplars(store: ObjectStore, collection: str, version: str) -> Exemplars:
    """Give a version's exemplars, without pictures erased since; none if it has no such file."""
    try:
        return exemplars_from_bytes(store.get(Layout(collection).model(version, EXEMPLARS)).data)
    except ObjectNotFound:
        return {}
