"""A ledger and a retraining for tests of the check."""

from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np

from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.contracts import ImageRef, ModelStamp, Result
from producer.ulid import new_ulid
from tests.tiny_model import N_CLUSTERS, TinyBundle
from training.check import Check
from training.retrain import Retraining
from training.run_record import RunRecord, State, Trigger
from training.runs import Runs
from training.settings import TrainingSettings

NOW = datetime.now(UTC)


SETTINGS = TrainingSettings.model_validate(
    {
        "min_images": 20,
        "lease_s": 1e-9,
        "triggers": {"volume": 30, "cooldown_s": 60},
        "drift": {"window_images": 100},
    }
)


class Recorded:
    """Stands in for the retraining: begins runs, and ends them at once."""

    def __init__(self, store: MemoryStore, state: State = "promoted") -> None:
        self.runs = Runs(store, "default", SETTINGS.lease_s)
        self.state = state
        self.asked: list[tuple[str, str, str]] = []
        self.taken_up: list[str] = []

    def run(self, slot: str, trigger: Trigger, reason: str) -> RunRecord | None:
        self.asked.append((slot, trigger, reason))
        lease = self.runs.begin(slot, trigger, reason)
        return lease.end(state=self.state) if lease else None

    def take_up(self, dead: RunRecord) -> RunRecord | None:
        self.taken_up.append(dead.slot)
        lease = self.runs.take_up(dead)
        return lease.end(state=self.state) if lease else None


def promote_of_yesterday(store: MemoryStore, tiny_bundle: TinyBundle) -> None:
    """Give the store a champion that was made a day ago."""
    manifest, files = tiny_bundle
    registry = Registry(store, "default")
    registry.publish(manifest.model_copy(update={"created_at": NOW - timedelta(days=1)}), files)
    registry.promote(manifest.version)


def classify(
    store: MemoryStore,
    name: str,
    n: int,
    *,
    days_ago: float = 0,
    done_days_ago: float | None = None,
    cluster: int | None = None,
    status: str = "assigned",
    sha256: str = "",
) -> None:
    """Put pictures into the ledger, some days ago, with a projection at a cluster each."""
    at = NOW - timedelta(days=days_ago)
    message_id = new_ulid(at.timestamp())
    version = Registry(store, "default").current().version
    refs = [ImageRef(image_id=f"{name}_{i}", bucket="uploads", key=f"k/{name}_{i}") for i in range(n)]
    results = [
        Result.model_validate(
            {
                "image_id": ref.image_id,
                "collection": "default",
                "status": status,
                "message_id": message_id,
                "model": ModelStamp(version=version, sha256="0", generation=1),
                "classified_at": at if done_days_ago is None else NOW - timedelta(days=done_days_ago - 0.01),
                "input": {
                    "etag": None,
                    "sha256": sha256 or ref.image_id,
                    "width": 1,
                    "height": 1,
                    "format": "PNG",
                },
            }
        )
        for ref in refs
    ]
    clusterer = Registry(store, "default").load(Registry(store, "default").current(), "cpu").clusterer
    places = [clusterer.centroids[i % N_CLUSTERS if cluster is None else cluster] for i in range(n)]
    Ledger(store, "default").append(message_id, refs, results, [np.array(p) for p in places])


def check(store: MemoryStore, retraining: Recorded, settings: TrainingSettings = SETTINGS) -> Check:
    return Check("default", store, cast("Retraining", retraining), settings)
