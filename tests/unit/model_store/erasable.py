"""Pictures in every place that names one."""

import json

import numpy as np
from safetensors.numpy import save

from model_store.bundle_files import EXEMPLARS, REFERENCE, listed
from model_store.dead_letters import DeadLetters
from model_store.erasure import Erasure
from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.membership import name_hashes
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.results import Results
from producer.contracts import ImageRef, Result
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle

DEFAULT = Layout("default")


def answer(store: MemoryStore, *image_ids: str, collection: str = "default") -> str:
    """What a worker leaves of one message."""
    message_id = new_ulid()
    refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in image_ids]
    results = [
        Result(image_id=i, collection=collection, status="assigned", message_id=message_id) for i in image_ids
    ]
    Results(store, collection).save(results)
    Ledger(store, collection).append(message_id, refs, results, [np.zeros(2, np.float32)] * len(refs))
    return Layout(collection).ledger_part(message_id)


class Place:
    def __init__(self, store: MemoryStore) -> None:
        self.store, self.uploads = store, MemoryStore()
        self.uploads.put_many({"img_1.png": b"1", "img_2.png": b"2"})
        self.erasure = Erasure(store, "default", {"uploads": self.uploads})

    def named(self, image_id: str) -> list[str]:
        return [mention.key for mention in self.erasure.verify([image_id])]


def filled(store: MemoryStore, tiny_bundle: TinyBundle) -> Place:
    """A picture in every place that names one, beside others."""
    place = Place(store)
    for ids in (("img_1", "img_2"), ("img_1",), ("img_2", "img_10")):
        answer(store, *ids)
    images = [{"image_id": i, "bucket": "uploads", "key": f"{i}.png"} for i in ("img_1", "img_2")]
    DeadLetters(store, "default").keep(new_ulid(), {"kwargs": {"images": images}}, "img_1 is odd")
    store.put("default/jobs/job_1/part-1.parquet", store.get(answer(store, "img_1", "img_3")).data)
    refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png") for i in ("img_1", "img_3")]
    results = [
        Result(image_id=ref.image_id, collection="default", status="failed", message_id=new_ulid())
        for ref in refs
    ]
    JobParts(store, "default").save("job_2", new_ulid(), part_of(new_ulid(), 2, refs, results, []))
    store.put("default/runs/r/report.html", b"<img alt='img_1'>")
    manifest, files = tiny_bundle
    files = {
        **files,
        EXEMPLARS: json.dumps({"c_0000": ["img_1", "img_2"]}).encode(),
        REFERENCE: save({"seen": np.sort(name_hashes(["img_1", "img_5"]))}),
    }
    snapshot = manifest.snapshot.model_copy(update={"source": "ledger"})
    manifest = manifest.model_copy(update={"snapshot": snapshot, "files": listed(files)})
    Registry(store, "default").publish(manifest, files)
    return place
