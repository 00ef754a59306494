"""The composition root: builds the classifier from settings, once per process."""

import contextlib
import os
import socket
from functools import lru_cache
from typing import Final

from model_store.images import ImageSource
from model_store.predictor import best_device
from model_store.registry import Registry
from model_store.s3 import S3Store
from producer.broker import redis_client
from producer.errors import NoChampion
from producer.leases import Leases
from worker.attempts import Attempts
from worker.batcher import Batcher
from worker.classifier import Classifier
from worker.dead_letters import WorkersDeadLetters
from worker.deliveries import Deliveries
from worker.model_cache import ModelCache
from worker.presence import Presence
from worker.progress import Progress
from worker.reader import Reader
from worker.recorder import Recorder
from worker.settings import Settings

COLLECTIONS_KEPT: Final = 256


class Context:
    """What lives as long as the worker process."""

    def __init__(self, settings: Settings, leases: Leases) -> None:
        """Connect, start the device thread, and look for the default collection's model at once."""
        self.settings = settings
        self.progress = Progress()
        worker = settings.worker
        store = S3Store(settings.store.bucket, settings.store)
        uploads = {bucket: S3Store(bucket, settings.store) for bucket in settings.store.allowed_buckets}
        self.device = device = best_device(worker.device)
        per_collection = lru_cache(COLLECTIONS_KEPT)
        self.models = ModelCache(
            per_collection(lambda name: Registry(store, name)), device, worker.model_poll_s
        )
        self.classifier = Classifier(
            models=self.models,
            reader=Reader(
                ImageSource(uploads, worker.max_image_bytes), settings.decode, worker.decode_threads
            ),
            batcher=Batcher(worker.max_batch),
            recorder=per_collection(lambda name: Recorder(store, name, worker.model_poll_s)),
            settings=worker,
        )
        self.deliveries = Deliveries(
            leases=leases,
            attempts=Attempts(redis_client(settings.broker, text=False)),
            classifier=self.classifier,
            dead_letters=per_collection(lambda name: WorkersDeadLetters(store, name)),
            settings=worker,
        )
        with contextlib.suppress(
            NoChampion
        ):  # load it before the first message; if there is none, say so now
            self.models.get("default", 0.0)
        self.presence = Presence(
            redis_client(settings.broker),
            f"{socket.gethostname()}:{os.getpid()}",
            device,
            self.models.serving,
            self.models.refused,
        )
        self._leases = leases
        self._stores = (store, *uploads.values())

    def close(self) -> None:
        """Finish what is on the device, then let go of everything."""
        self.presence.close()
        self._leases.close()
        self.classifier.close()
        for store in self._stores:
            store.close()
