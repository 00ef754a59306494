"""A collection in memory whose pictures are uploaded and classified, and its retraining, a second long."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.images import ImageSource
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.signature import Signer
from producer.contracts import ImageRef, Result
from producer.ulid import new_ulid
from tests.tiny_model import tiny_pixels
from tests.unit.training import one_run
from tests.watched_stores import Mortal
from training.progress import Silent
from training.retrain import Retraining
from training.runs import Runs
from training.settings import Settings

TRAINING = one_run.TRAINING | {
    "promotion": {"max_latency": 1000},  # a busy machine says nothing about a model
}


@dataclass(frozen=True)
class Place:
    """One collection."""

    store: Mortal
    uploads: MemoryStore
    settings: Settings

    @property
    def registry(self) -> Registry:
        return Registry(self.store, "default")

    @property
    def runs(self) -> Runs:
        return Runs(self.store, "default", self.settings.training.lease_s)

    def retraining(self, signer: Signer | None = None, **store: object) -> Retraining:
        """Give a trainer; `store` are its settings of the store."""
        settings = self.settings.model_copy(
            update={"store": self.settings.store.model_copy(update=dict(store))}
        )
        images = ImageSource({"uploads": self.uploads}, 10**6)
        return Retraining("default", self.store, images, settings, Silent(), signer)

    def upload(self, pixels: Iterable[NDArray[np.uint8]]) -> None:
        """Put pictures under `k0`, `k1` and so on, in place of what was there."""
        for n, picture in enumerate(pixels):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            self.uploads.put(f"k{n}", file.getvalue())

    def classified(self, n: int) -> None:
        """Note in the ledger that `img_0`, `img_1` and so on were classified."""
        refs = [ImageRef(image_id=f"img_{i}", bucket="uploads", key=f"k{i}") for i in range(n)]
        message_id = new_ulid()
        results = [
            Result(image_id=ref.image_id, collection="default", status="assigned", message_id=message_id)
            for ref in refs
        ]
        projections = [np.zeros(6, np.float32)] * n
        Ledger(self.store, "default").append(message_id, refs, results, projections)


def place(workdir: Path, n: int = 60, store: Mortal | None = None, **training: object) -> Place:
    """Upload `n` pictures and have them classified."""
    settings = Settings.model_validate({"training": {**TRAINING, **training, "workdir": workdir}})
    made = Place(store or Mortal(), MemoryStore(), settings)
    made.upload(tiny_pixels(n))
    made.classified(n)
    return made
