"""A retraining on 60 pictures in a store of its own."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from model_store.images import ImageSource
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from producer.contracts import ImageRef, Result
from producer.ulid import new_ulid
from tests.tiny_model import tiny_pixels
from tests.unit.training.tiny_runs import FIT
from training.progress import Silent
from training.report.settings import ReportSettings
from training.retrain import Retraining
from training.run_record import RunRecord
from training.runs import Runs
from training.settings import Settings

SLOT = "20261123T030000Z"
N = 60
TRAINING = {
    "fit": FIT,
    "cluster": {"n_clusters": 3, "n_components": 6, "n_init": 2},
    "min_images": 30,
    "checkpoint_every_s": 0,
}


NO_REPORT = ReportSettings(enabled=False)


def one_run(store: MemoryStore, workdir: Path, report: ReportSettings = NO_REPORT) -> Retraining:
    """Fill the ledger, and prepare to retrain on it; without a report, to be quick."""
    uploads, refs = MemoryStore(), []
    for n, pixels in enumerate(tiny_pixels(N)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        uploads.put(f"k{n}", file.getvalue())
        refs.append(ImageRef(image_id=f"img_{n}", bucket="uploads", key=f"k{n}"))
    add_to_ledger(store, refs)
    settings = Settings.model_validate({"training": {**TRAINING, "workdir": workdir, "report": report}})
    return Retraining("default", store, ImageSource({"uploads": uploads}, 10**6), settings, Silent())


def add_to_ledger(store: MemoryStore, refs: list[ImageRef]) -> None:
    message_id = new_ulid()
    results = [
        Result(image_id=ref.image_id, collection="default", status="assigned", message_id=message_id)
        for ref in refs
    ]
    Ledger(store, "default").append(message_id, refs, results, [np.zeros(6, np.float32)] * len(refs))


def record(store: MemoryStore) -> RunRecord:
    return Runs(store, "default").get(SLOT)
