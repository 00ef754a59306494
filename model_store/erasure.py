"""Erasing pictures: everything that names them in one collection goes, and cannot come back.

```
erasures/{request}.json   running
tombstones                from here on no worker, backfill or retraining takes them up
originals                 if asked for, before what says where they lie
results
everything of many        ledger, dead letters, jobs, runs, exemplars: rows and entries, compare-and-swap
manifests of jobs         of those whose parts changed
erasures/{request}.json   done: what was removed, which models had learnt from them
```
Doing it again does no harm, and completes what was cut short. Tombstones and the records of erasures name the
pictures for good: they are what keeps them out. Bundles are write-once and name none
(`membership.Membership` tells who is in them by hashes).
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from model_store.bundle_files import REFERENCE
from model_store.erasure_record import ATTEMPTS, ErasureRecord, read_record, write_record
from model_store.forgetting import forget
from model_store.job_completion import JobCompletion
from model_store.layout import Layout, job_of_part
from model_store.membership import Membership
from model_store.mentions import Ids, Mention, mentions, scan
from model_store.object_store import ObjectInfo, ObjectStore, StoredObject
from model_store.registry import Registry
from model_store.tombstones import Tombstones
from producer.contracts import Name
from producer.errors import BundleInvalid, InvalidReference, ObjectNotFound, PreconditionFailed
from producer.ulid import new_ulid

WHERE_UNREADABLE: Final = "default"  # dead letters of messages that name no collection
LOOKS: Final = 2  # what was written while the first look lasted is seen by the second
NAMES: Final = TypeAdapter(tuple[Name, ...])
KEPT: Final = ("results", "models", "tombstones", "tombstones.json", "erasures", "aliases", "clusters.json")


@dataclass(slots=True)
class _Done:
    removed: Counter[str] = field(default_factory=Counter)
    originals: set[tuple[str, str]] = field(default_factory=set)
    remains: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)


class Erasure:
    """Erases pictures of one collection."""

    def __init__(self, store: ObjectStore, collection: str, uploads: Mapping[str, ObjectStore]) -> None:
        """Prepare; `uploads` are the buckets in which originals may lie."""
        self._store = store
        self._layout = Layout(collection)
        self._uploads = uploads

    def run(
        self,
        image_ids: Sequence[str],
        *,
        request: str | None = None,
        originals: bool = False,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> ErasureRecord:
        """Erase pictures; when it returns, nothing of the collection names them, nor will again.

        Args:
            image_ids: as submitted; ids that nothing names are harmless.
            request: names the record; the same name continues that record.
            originals: delete the uploads too, as far as the ledger or a dead letter says where they lie.
            on_progress: told how many objects were looked through.

        Raises:
            InvalidReference: no picture, or what cannot be an id.
            StoreUnavailable, AccessDenied: it was cut short; running it again completes it.
        """
        record = self._begin(_checked(image_ids, request), image_ids)
        Tombstones(self._store, self._layout.collection).set(record.image_ids, record.request)
        done = _Done()
        for image_id in record.image_ids:
            done.removed["results"] += self._delete(self._layout.result(image_id))
        wanted, seen = Ids(record.image_ids), set[tuple[str, str]]()
        for _ in range(LOOKS):
            for info, found in scan(self._store, self._shared(seen)):
                self._forget(info.key, found, wanted, done, originals=originals)
                on_progress(len(seen))
        for job_id in sorted(done.jobs):
            JobCompletion(self._store, self._layout.collection).renew(job_id)
        learnt_by, unknown = self._models(record.image_ids)
        total = Counter(record.removed) + done.removed
        return write_record(
            self._store,
            record.model_copy(
                update={
                    "state": "done",
                    "finished_at": datetime.now(UTC),
                    "removed": {kind: n for kind, n in sorted(total.items()) if n},
                    "learnt_by": learnt_by,
                    "unknown_models": unknown,
                    "remains": tuple(sorted(done.remains)),
                }
            ),
        )

    def take_out_of(self, key: str, image_ids: Iterable[str]) -> None:
        """Take erased pictures out of one object that was written after their erasure."""
        with contextlib.suppress(ObjectNotFound):
            self._forget(key, self._store.get(key), Ids(image_ids), _Done(), originals=False)

    def verify(
        self, image_ids: Sequence[str], *, on_progress: Callable[[int], None] = lambda _: None
    ) -> Iterator[Mention]:
        """Read every object of the bucket and give those that name a picture, in any collection.

        The tombstones and erasure records of this collection are not among them.
        """
        allowed = (self._layout.tombstones(), self._layout.erasures())
        for mention in mentions(self._store, image_ids, on_progress):
            if not mention.key.startswith(allowed):
                yield mention

    def _begin(self, request: str, image_ids: Sequence[str]) -> ErasureRecord:
        present = read_record(self._store, self._layout.collection, request)
        found = (
            present[0]
            if present
            else ErasureRecord(request=request, collection=self._layout.collection, image_ids=())
        )
        ids = tuple(dict.fromkeys((*found.image_ids, *image_ids)))
        return write_record(self._store, found.model_copy(update={"image_ids": ids, "state": "running"}))

    def _shared(self, seen: set[tuple[str, str]]) -> Iterator[ObjectInfo]:
        """List what may name these pictures beside others, and was not seen in this state yet."""
        collection = self._layout.collection
        infos = self._store.list(f"{collection}/")
        if collection != WHERE_UNREADABLE:
            infos = itertools.chain(infos, self._store.list(f"{WHERE_UNREADABLE}/dead/"))
        for info in infos:
            kind = info.key.split("/")[1]
            if kind not in KEPT and (info.key, info.etag) not in seen:
                seen.add((info.key, info.etag))
                yield info

    def _forget(self, key: str, found: StoredObject, wanted: Ids, done: "_Done", *, originals: bool) -> None:
        """Take the pictures out of one object, whoever writes it meanwhile."""
        for _ in range(ATTEMPTS):
            rest = forget(key, found.data, wanted)
            if rest is None:
                return
            if originals:
                for bucket, name in rest.originals:
                    self._delete_original(bucket, name, done)
            try:
                if rest.data is None:
                    self._store.delete(key, if_match=found.etag)
                else:
                    self._store.put(key, rest.data, if_match=found.etag)
            except PreconditionFailed:
                try:
                    found = self._store.get(key)
                except ObjectNotFound:
                    return
            else:
                done.removed[key.split("/")[1]] += rest.places
                done.jobs.update(filter(None, [job_of_part(key)]))
                return
        raise PreconditionFailed(f"{key} kept changing; erase again")

    def _delete(self, key: str) -> int:
        try:
            self._store.get(key)
        except ObjectNotFound:
            return 0
        self._store.delete(key)
        return 1

    def _delete_original(self, bucket: str, key: str, done: "_Done") -> None:
        if bucket not in self._uploads:
            done.remains.add(f"the original s3://{bucket}/{key}: {bucket} is not among the uploads buckets")
        elif (bucket, key) not in done.originals:
            self._uploads[bucket].delete(key)
            done.originals.add((bucket, key))
            done.removed["originals"] += 1

    def _models(self, image_ids: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
        """Tell which versions learnt from which of the pictures, and which versions cannot tell."""
        registry = Registry(self._store, self._layout.collection)
        learnt_by: dict[str, tuple[str, ...]] = {}
        unknown = []
        for manifest in registry.versions():
            if manifest.snapshot.source != "ledger":  # a folder's pictures have names of their own
                unknown.append(manifest.version)
                continue
            try:
                members = Membership.of_reference(registry.file(manifest.version, REFERENCE))
            except BundleInvalid:
                members = None
            if members is None:
                unknown.append(manifest.version)
                continue
            taken = tuple(image_id for image_id in image_ids if image_id in members)
            if taken:
                learnt_by[manifest.version] = taken
        return learnt_by, tuple(unknown)


def _checked(image_ids: Sequence[str], request: str | None) -> str:
    """Give the request's name, a new one if it has none."""
    name = request or new_ulid().lower()
    try:
        NAMES.validate_python((name, *image_ids))
    except ValidationError as error:
        raise InvalidReference(
            f"{(name, *image_ids)}: ids and the request's name are letters, digits and . _ ~ -"
        ) from error
    if not image_ids:
        raise InvalidReference("no picture is named: say which to erase")
    return name
