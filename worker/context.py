"""The composition root: builds the classifier from settings, once per process."""

import os
import socket
from functools import lru_cache
from typing import Final

from model_store.byte_budget import SplitBudget
from model_store.images import ImageSource
from model_store.predictor import best_device
from model_store.registry import Registry
from model_store.right_of_way import RightOfWay
from model_store.s3 import S3Store
from model_store.signature import TrustedKeys
from producer.broker import lease_client
from producer.leases import Leases
from worker.attempts import Attempts
from worker.batcher import Batcher
from worker.classifier import Classifier
from worker.dead_letters import WorkersDeadLetters
from worker.decoders import Decoders, enough_memory
from worker.deliveries import Deliveries
from worker.finisher import Finisher
from worker.health import Health
from worker.health_endpoint import HealthEndpoint
from worker.memory_mark import MemoryMark
from worker.metrics import Metrics
from worker.model_cache import ModelCache
from worker.presence import Presence
from worker.progress import Progress
from worker.reader import Reader
from worker.recorder import Recorder
from worker.settings import Settings
from worker.surroundings import Outside
from worker.watchdog import Limits, Watchdog

COLLECTIONS_KEPT: Final = 256


class Context:
    """What lives as long as the worker process."""

    def __init__(self, settings: Settings, leases: Leases) -> None:
        """Connect, start the device thread, and look for the default collection's model at once."""
        self.settings = settings
        self.progress = Progress()
        metrics = Metrics()
        worker = settings.worker
        right_of_way = RightOfWay(worker.held_back_to)
        store = S3Store(settings.store.bucket, settings.store, right_of_way)
        uploads = {
            bucket: S3Store(bucket, settings.store, right_of_way) for bucket in settings.store.allowed_buckets
        }
        self.device = device = best_device(worker.device)
        per_collection = lru_cache(COLLECTIONS_KEPT)
        trusted = TrustedKeys(settings.store.trusted_keys)
        self.models = ModelCache(
            per_collection(lambda name: Registry(store, name, trusted=trusted)), device, worker.model_poll_s
        )
        self.finisher = Finisher(store, self.models.serving)
        batcher = Batcher(worker.max_batch, metrics.passed)
        self.classifier = Classifier(
            models=self.models,
            reader=Reader(
                ImageSource(uploads, worker.max_image_bytes, SplitBudget.of(worker.bytes_in_flight // 2)),
                Decoders(
                    settings.decode,
                    worker.decode_processes,
                    cpu_s=worker.decode_cpu_s,
                    memory_bytes=enough_memory(settings.decode, worker.max_image_bytes),
                ),
            ),
            batcher=batcher,
            recorder=per_collection(
                lambda name: Recorder(
                    store, name, worker.model_poll_s, lambda job_id: self.finisher.touched(name, job_id)
                )
            ),
            right_of_way=right_of_way,
            settings=worker,
            metrics=metrics,
        )
        self.deliveries = Deliveries(
            leases=leases,
            attempts=Attempts(lease_client(settings.broker)),
            classifier=self.classifier,
            dead_letters=per_collection(lambda name: WorkersDeadLetters(store, name)),
            settings=worker,
            keyring=settings.broker.keyring(),
            metrics=metrics,
        )
        self.presence = Presence(
            lease_client(settings.broker),
            f"{socket.gethostname()}:{os.getpid()}",
            device,
            self.models.serving,
            self.models.refused,
            self.models.awaited,
            self.progress,
        )
        self.models.preload("default")
        outside = Outside(settings, self.models.serving)
        metrics.show(self.models.serving, self.models.refused, outside.lanes)
        limits = Limits(worker.stall_limit_s, worker.message_limit_s)
        self.watchdog = Watchdog(self.progress, outside, limits, lambda: batcher.busy_since)
        self.memory_mark = MemoryMark(worker.memory_mark_bytes) if worker.memory_mark_bytes else None
        health = Health(
            outside, self.progress, self.models.serving, lambda: self.presence.state, limits.message_s
        )
        self.endpoint = (
            HealthEndpoint(health, metrics.text, worker.health_host, worker.health_port)
            if worker.health_port is not None
            else None
        )
        self._leases = leases
        self._stores = (store, *uploads.values())

    def abandon(self, *, blameless: bool) -> None:
        """Give back what is in work, without waiting for it: its threads go on until the process ends.

        Args:
            blameless: the messages took long; else one of them hangs, and this counts as its worker's death.
        """
        self.watchdog.close()
        if blameless:
            self.deliveries.abandon()
        self._leases.close()
        self.presence.close()

    def start_watching(self) -> None:
        """Begin to look at what should end this process."""
        self.watchdog.start()
        if self.memory_mark is not None:
            self.memory_mark.start()

    def close(self) -> None:
        """Finish what is on the device, then let go of everything."""
        self.watchdog.close()
        if self.memory_mark is not None:
            self.memory_mark.close()
        if self.endpoint is not None:
            self.endpoint.close()
        self.presence.close()
        self._leases.close()
        self.finisher.close()
        self.classifier.close()
        for store in self._stores:
            store.close()
