"""Submitting every upload that has no result: the uploads bucket is the truth, Redis may be lost.

```
ledger of the collection -> digests of (bucket, key) that were ever answered, whatever the answer
uploads, page by page    -> those not among them, and without a result under the id they would get
                         -> messages on a lane -> progress of the sweep, kept in the bucket
```

Memory: 8 bytes per upload that the ledger knows (some 24 while it is read), and one page of 1,000 keys.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.answered import Answered
from console.gathering import gathered
from model_store.layout import Layout
from model_store.listing import Page, pages
from model_store.object_store import Get, ObjectInfo, ObjectStore, StoredObject
from model_store.tombstones import Tombstones
from producer.contracts import ClassifyImages, ImageRef, Lane
from producer.errors import ObjectNotFound, QueueFull
from producer.s3_events import image_id_for

IdFrom = Literal["hash", "stem", "name", "key"]
FULL_PAUSE_S: Final = 1.0


class SweepRecord(BaseModel):
    """`sweeps/{name}.json`: how far a sweep of one bucket has come. Counts are of uploads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bucket: str
    prefix: str = ""
    since: datetime | None = None
    resume_after: str = Field("", description="all uploads up to here are done")
    seen: int = 0
    older: int = Field(0, description="not modified since `since`")
    answered: int = 0
    submitted: int = 0
    unnameable: int = Field(0, description="whose key gives no image id")
    first_unnameable: str | None = None
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    done: bool = False

    def plus(self, **counts: int) -> "SweepRecord":
        """Give the record with more of each."""
        return self.model_copy(update={name: getattr(self, name) + n for name, n in counts.items()})


@dataclass
class Sweep:
    """One sweep of one bucket. Uploads it submits are kept out of retraining unless told otherwise.

    Args:
        store: Shoal's own bucket.
        uploads: the bucket swept.
        collection: whose ledger and results count, and where uploads are submitted.
        answered: what its ledger knows.
        send: puts a message on its lane, and returns once that is acknowledged; None counts only.
        id_from: how an upload that the ledger does not know is named.
        lane: for the messages.
        allow_training: what the references say; what the platform had said is lost with the message.
        on_progress: told after each page.
        on_wait: told when the lane is full.
    """

    store: ObjectStore
    uploads: ObjectStore
    collection: str
    answered: Answered
    send: Callable[[ClassifyImages], None] | None
    id_from: IdFrom = "hash"
    lane: Lane = "bulk"
    allow_training: bool = False
    on_progress: Callable[[SweepRecord], None] = field(default=lambda _: None)
    on_wait: Callable[[str], None] = field(default=lambda _: None)

    def run(self, record: SweepRecord, save: Callable[[SweepRecord], None]) -> SweepRecord:
        """Go through the bucket from where the record stands; `save` is called once a page is submitted.

        Raises:
            BrokerUnavailable, StoreUnavailable: what was saved is done; run again from there.
        """
        for page in pages(self.uploads, record.prefix, after=record.resume_after):
            record = self._page(record, page)
            save(record)
            self.on_progress(record)
        record = record.model_copy(update={"done": True, "updated_at": datetime.now(UTC)})
        save(record)
        return record

    def _page(self, record: SweepRecord, page: Page) -> SweepRecord:
        objects = [info for info in page.objects if not info.key.endswith("/")]  # a marker of a folder
        recent = [info for info in objects if record.since is None or info.modified_at >= record.since]
        unknown = self.answered.without(record.bucket, recent)
        refs: list[ImageRef] = []
        for info in unknown:
            ref = self._ref(record.bucket, info)
            if ref is not None:
                refs.append(ref)
            elif record.first_unnameable is None:
                record = record.model_copy(update={"first_unnameable": info.key})
        missing = self._without_result(refs)
        for message in messages(missing, self.collection, self.lane):
            self._send(message)
        moved = {"resume_after": page.resume_after, "updated_at": datetime.now(UTC)}
        return record.model_copy(update=moved).plus(
            seen=len(objects),
            older=len(objects) - len(recent),
            answered=len(recent) - len(unknown) + len(refs) - len(missing),
            submitted=len(missing),
            unnameable=len(unknown) - len(refs),
        )

    def _ref(self, bucket: str, info: ObjectInfo) -> ImageRef | None:
        image_id = image_id_of(bucket, info.key, self.id_from)
        try:
            return ImageRef(
                image_id=image_id, bucket=bucket, key=info.key, allow_training=self.allow_training
            )
        except ValidationError:
            return None

    def _without_result(self, refs: Sequence[ImageRef]) -> list[ImageRef]:
        layout = Layout(self.collection)
        missing: list[int] = []
        for position, found in self.store.get_many(Get(layout.result(ref.image_id)) for ref in refs):
            if isinstance(found, ObjectNotFound):
                missing.append(position)
            elif not isinstance(found, StoredObject):
                raise found
        erased = Tombstones(
            self.store, self.collection
        ).now()  # counted as answered: nobody would answer them
        return [refs[position] for position in sorted(missing) if refs[position].image_id not in erased]

    def _send(self, message: ClassifyImages) -> None:
        while self.send is not None:
            try:
                self.send(message)
            except QueueFull as error:
                self.on_wait(str(error))
                time.sleep(FULL_PAUSE_S)
            else:
                return


def image_id_of(bucket: str, key: str, id_from: IdFrom) -> str:
    """Name an upload after its key; it may be no image id, if the key does not lend itself to it."""
    if id_from == "hash":
        return image_id_for(bucket, key)
    name = key.rpartition("/")[2]
    return {"stem": name.rpartition(".")[0] or name, "name": name, "key": key.replace("/", "_")}[id_from]


def messages(refs: Sequence[ImageRef], collection: str, lane: Lane) -> Iterator[ClassifyImages]:
    """Gather references into messages as large as the contract allows."""
    for images in gathered(refs):
        yield ClassifyImages(collection=collection, lane=lane, images=images)
