"""The trainer's parts, put together from its settings once per process."""

import os
import sys
import threading
from typing import Final

from model_store.images import ImageSource
from model_store.registry import Registry
from model_store.s3 import S3Store
from model_store.signature import Signer, TrustedKeys
from training.auto_backfill import AutoBackfill
from training.backfill import Backfill
from training.check import Check
from training.metrics import Metrics, MetricsEndpoint
from training.progress import LoggedProgress
from training.retrain import Retraining
from training.run_record import RunRecord
from training.settings import Settings

HANGS: Final = 75  # as a worker that hangs ends


class Trainer:
    """What lives as long as the trainer process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.keyring = settings.broker.keyring()
        self._signer = Signer.from_file(settings.training.signing_key_file)
        self._store = S3Store(settings.store.bucket, settings.store)
        uploads = {bucket: S3Store(bucket, settings.store) for bucket in settings.store.allowed_buckets}
        self._images = ImageSource(uploads, settings.training.max_image_bytes)
        self._stores = (self._store, *uploads.values())
        training = settings.training
        self._backfills = (
            AutoBackfill(self.backfill, training.collections, settings.broker)
            if training.backfill.automatic
            else None
        )
        self._metrics = (
            MetricsEndpoint(
                Metrics(self._store, training.collections, training.drift),
                training.metrics_host,
                training.metrics_port,
            )
            if training.metrics_port is not None
            else None
        )
        self._checks: dict[str, Check] = {}
        self._retrainings: dict[str, Retraining] = {}

    def retraining(self, collection: str) -> Retraining:
        """Give the retraining of one collection: the same one each time, since it knows its run."""
        if collection not in self._retrainings:
            self._retrainings[collection] = Retraining(
                collection,
                self._store,
                self._images,
                self._settings,
                LoggedProgress(),
                self._signer,
                _end_stalled,
            )
        return self._retrainings[collection]

    def under_way(self) -> RunRecord | None:
        """Give the run that this trainer is at work on, if it is."""
        return next(filter(None, (one.under_way for one in list(self._retrainings.values()))), None)

    def backfill(self, collection: str, stop: threading.Event) -> Backfill:
        """Give the backfill of one collection."""
        registry = Registry(self._store, collection, trusted=TrustedKeys(self._settings.store.trusted_keys))
        return Backfill(self._store, registry, self._settings.training.backfill, stop)

    def check(self, collection: str) -> Check:
        """Give the check of one collection: the same one each time, since it watches."""
        if collection not in self._checks:
            training, retraining = self._settings.training, self.retraining(collection)
            trusted = TrustedKeys(self._settings.store.trusted_keys)
            self._checks[collection] = Check(collection, self._store, retraining, training, trusted)
        return self._checks[collection]

    def close(self) -> None:
        """Let go of connections."""
        if self._metrics is not None:
            self._metrics.close()
        if self._backfills is not None:
            self._backfills.close()
        for store in self._stores:
            store.close()


def _end_stalled() -> None:
    """End the process, whatever its threads do; its supervisor starts another, which takes the run up."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(HANGS)
