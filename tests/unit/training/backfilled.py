"""A ledger of answers by an older model, and a post that notes what is submitted."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_store.bundle_files import CLUSTERS, ClusterEntry, ClusterFile, listed
from model_store.clusterer import KMEANS_FILE, Clusterer
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.contracts import Cluster, ImageRef, ModelStamp, Result
from producer.ulid import new_ulid
from tests.tiny_model import TinyBundle, make_tiny_bundle
from training.backfill import Backfill, BackfillSettings
from training.backfill_record import BackfillRecord
from training.progress import Silent

DAY_S = 86_400


NOW_S = 1_790_000_000


class Post:
    """What Producer is to a backfill."""

    def __init__(self) -> None:
        self.refs: list[ImageRef] = []
        self.how: list[Mapping[str, object]] = []
        self.on_submit: Callable[[], None] = lambda: None
        self.answer: Callable[[str, int], None] = lambda _id, _nth: None

    def submit(self, ref: ImageRef, **how: object) -> None:
        self.on_submit()
        self.refs.append(ref)
        self.how.append(how)
        self.answer(ref.image_id, len(self.refs))

    def flush(self) -> None:
        return

    @property
    def ids(self) -> list[str]:
        return sorted(ref.image_id for ref in self.refs)


class Place:
    def __init__(self, tiny: TinyBundle) -> None:
        self.store = MemoryStore()
        self.registry = Registry(self.store, "default")
        self.manifest, self.files = tiny
        self.clusterer = Clusterer.from_files(self.files["pca.safetensors"], self.files[KMEANS_FILE])
        self.post, self.stop = Post(), threading.Event()
        self.publish("v1", self.files)

    def publish(self, version: str, files: Mapping[str, bytes]) -> None:
        manifest = self.manifest.model_copy(update={"version": version, "files": listed(files)})
        self.registry.publish(manifest, files)
        self.registry.promote(version)

    def publish_other_encoder(self, version: str = "v2") -> None:
        self.publish(version, make_tiny_bundle(seed=3)[1])

    def publish_other_clusters(self, version: str = "v2") -> None:
        """The same encoder and PCA; the first two clusters have changed their ids."""
        centroids = self.clusterer.centroids
        kmeans = replace(self.clusterer, centroids=centroids).to_files()[KMEANS_FILE]
        ids = ("c_0001", "c_0000", "c_0002")
        entries = tuple(ClusterEntry(index=i, id=name) for i, name in enumerate(ids))
        files = {**self.files, KMEANS_FILE: kmeans, CLUSTERS: ClusterFile(clusters=entries).to_bytes()}
        self.publish(version, files)

    def answered(
        self,
        *image_ids: str,
        day: int = 0,
        version: str = "v1",
        generation: int = 1,
        status: str = "assigned",
        index: int = 0,
        projection: NDArray[np.float32] | None = None,
        residual: float | None = 0.0,
    ) -> None:
        message_id = new_ulid(NOW_S - day * DAY_S)
        refs = [ImageRef(image_id=i, bucket="uploads", key=f"{i}.png", etag="e") for i in image_ids]
        fields = {
            "collection": "default",
            "status": status,
            "message_id": message_id,
            "cluster": Cluster(id=f"c_000{index}", index=index) if status != "rejected" else None,
            "model": ModelStamp(version=version, sha256="0", generation=generation),
        }
        results = [Result.model_validate({"image_id": i, **fields}) for i in image_ids]
        where = self.clusterer.centroids[index] if projection is None else projection
        n = len(refs)
        Ledger(self.store, "default").append(message_id, refs, results, [where] * n, [residual] * n)

    def renewed(self, image_id: str, *, old: bool) -> None:
        """Have a renewal answered now: by the champion, or by the model before it."""
        message_id, generation = new_ulid(), 1 if old else 2
        fields = {
            "image_id": image_id,
            "collection": "default",
            "status": "assigned",
            "message_id": message_id,
            "cluster": Cluster(id="c_0000", index=0),
            "model": ModelStamp(version=f"v{generation}", sha256="0", generation=generation),
        }
        ref = ImageRef(image_id=image_id, bucket="uploads", key=f"{image_id}.png")
        where = [self.clusterer.centroids[0]]
        Ledger(self.store, "default").append(message_id, [ref], [Result.model_validate(fields)], where)

    def work(self, images_per_s: float = 1e6) -> Backfill:
        settings = BackfillSettings(images_per_s=images_per_s)
        return Backfill(self.store, self.registry, settings, self.stop)

    def run(self) -> BackfillRecord | None:
        return self.work().run(self.post, Silent())  # type: ignore[arg-type]


def interrupt_at(place: Place, n: int) -> None:
    def count() -> None:
        if len(place.post.refs) == n:
            raise KeyboardInterrupt

    place.post.on_submit = count
