"""Versions whose publisher died on the way: files under `models/` that no manifest describes.

Whoever removes them may not race a publisher that was only stopped. So the manifest's place is taken first,
by an empty object, created only where nothing is; from then on that version cannot be published any more.
The empty object stays: it is 0 bytes, and the name of a version is never used again.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

import structlog

from model_store.layout import MANIFEST, Layout
from model_store.object_store import ObjectInfo, ObjectStore
from producer.errors import PreconditionFailed

log = structlog.get_logger(__name__)


def completes(info: ObjectInfo) -> bool:
    """Tell whether an object under `models/` is the manifest of a published version, and no empty one."""
    return info.key.endswith("/" + MANIFEST) and info.size_bytes > 0


def remove_unfinished(
    store: ObjectStore, collection: str, before: datetime, going_on: Collection[str] = ()
) -> list[str]:
    """Remove what is left of versions that will never be published; tells which those were.

    Any number at once do what one does; who dies on the way is completed by the next. A version that is
    published meanwhile stays whole.

    Args:
        store: of the collection.
        collection: whose versions.
        before: a version of which anything was written since then is left alone.
        going_on: versions that somebody still works on, however old.

    Raises:
        StoreUnavailable, AccessDenied: not all was removed; doing it again completes it.
    """
    layout = Layout(collection)
    found: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info in store.list(layout.models()):
        found[info.key.removeprefix(layout.models()).partition("/")[0]].append(info)
    for info in store.list(layout.all_exemplars()):
        found[info.key.removeprefix(layout.all_exemplars()).removesuffix(".json")].append(info)
    removed = []
    for version, files in found.items():
        parts = [info for info in files if not info.key.endswith("/" + MANIFEST)]
        if not parts or any(map(completes, files)) or version in going_on:
            continue
        if max(info.modified_at for info in parts) < before and _is_given_up(store, layout, version):
            for info in parts:
                store.delete(info.key)
            removed.append(version)
            log.info("a version that was never finished is removed", collection=collection, version=version)
    return removed


def _is_given_up(store: ObjectStore, layout: Layout, version: str) -> bool:
    """Take the manifest's place; tells whether it is taken, by us or by another who does the same."""
    key = layout.model(version, MANIFEST)
    try:
        store.put(key, b"", create_only=True)
    except PreconditionFailed:
        return not store.get(key).data
    return True
