"""The pictures nearest to each cluster's centre: `exemplars/{version}.json`.

No file of a bundle, which stays as it was published and names no picture: an erasure takes a picture out of
this one.
"""

from collections.abc import Collection, Iterable
from typing import Final

from pydantic import TypeAdapter

from model_store.bundle_files import ClusterEntry
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


def exemplars_without(data: bytes, erased: Collection[str]) -> bytes:
    """Leave pictures out of the file; it is the same, byte for byte, if it has none of them."""
    found = exemplars_from_bytes(data)
    rest = {at: tuple(name for name in names if name not in erased) for at, names in found.items()}
    return data if rest == found else _EXEMPLARS.dump_json(rest, indent=1)


def read_exemplars(store: ObjectStore, collection: str, version: str) -> Exemplars:
    """Give a version's exemplars, without pictures erased since; none if it has no such file."""
    try:
        return exemplars_from_bytes(store.get(Layout(collection).exemplars(version)).data)
    except ObjectNotFound:
        return {}
