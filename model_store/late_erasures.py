"""Pictures that were erased while a model was trained on them.

Their erasure may have ended before anything of the model was stored. So whoever publishes looks again:
```
exemplars/{version}.json    erased pictures are not written, and taken out if they were
erasures/{request}.json     says that this version, too, had learnt from them
```
Either this look sees the tombstone, or the erasure sees the version.
"""

import json
from collections import defaultdict

import numpy as np
import structlog

from model_store.erasure_record import ATTEMPTS, note_learnt
from model_store.exemplars import exemplars_without
from model_store.layout import Layout
from model_store.membership import Membership, name_hashes
from model_store.object_store import ObjectStore
from model_store.tombstones import Tombstones
from producer.errors import BundleInvalid, ObjectNotFound, PreconditionFailed

log = structlog.get_logger(__name__)


def keep_exemplars(store: ObjectStore, collection: str, version: str, data: bytes) -> None:
    """Store a version's exemplars: when it returns, no picture erased before is named by them.

    Raises:
        PreconditionFailed: the version has exemplars already.
    """
    tombstones = Tombstones(store, collection)
    erased = tombstones.now()
    key = Layout(collection).exemplars(version)
    store.put(key, exemplars_without(data, erased), create_only=True)
    if tombstones.now() != erased:
        forget_exemplars(store, collection, version, tombstones.now())


def forget_exemplars(store: ObjectStore, collection: str, version: str, erased: frozenset[str]) -> None:
    """Take erased pictures out of a version's exemplars, whoever rewrites them meanwhile."""
    key = Layout(collection).exemplars(version)
    for _ in range(ATTEMPTS):
        try:
            found = store.get(key)
        except ObjectNotFound:
            return
        rest = exemplars_without(found.data, erased)
        if rest == found.data:
            return
        try:
            store.put(key, rest, if_match=found.etag)
        except PreconditionFailed:
            continue
        return
    raise PreconditionFailed(f"{key} kept changing")


def heed_erasures(store: ObjectStore, collection: str, version: str, reference: bytes | None) -> None:
    """See to it that a version names no erased picture, and that their erasures name the version.

    Doing it again does no harm; a version whose trainer died on the way needs it again.

    Args:
        store: of the collection.
        collection: that the version is of.
        version: published, or stored in part.
        reference: its `reference.safetensors`; None if it has none, or was not published.
    """
    erased = Tombstones(store, collection).now()
    if not erased:
        return
    forget_exemplars(store, collection, version, erased)
    learnt = _learnt(reference, sorted(erased))
    by_request = defaultdict(list)
    for image_id in learnt:
        by_request[_request(store, collection, image_id)].append(image_id)
    for request, image_ids in by_request.items():
        note_learnt(store, collection, request, version, image_ids)
    if learnt:
        log.warning(
            "a model has learnt from pictures that were erased meanwhile: retrain, then remove it",
            collection=collection,
            version=version,
            pictures=len(learnt),
        )


def _learnt(reference: bytes | None, image_ids: list[str]) -> list[str]:
    try:
        members = Membership.of_reference(reference) if reference is not None else None
    except BundleInvalid:
        members = None
    if members is None:
        return []
    among = np.isin(name_hashes(image_ids), members.hashes)
    return [image_id for image_id, is_member in zip(image_ids, among, strict=True) if is_member]


def _request(store: ObjectStore, collection: str, image_id: str) -> str:
    """Tell by which request a picture was erased."""
    return str(json.loads(store.get(Layout(collection).tombstone(image_id)).data)["request"])
