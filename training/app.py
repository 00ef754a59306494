"""The trainer process and its beat: `shoal trainer`, `shoal beat`.

They use a broker database of their own: a run takes longer than any visibility timeout of the workers.
"""

import threading
import time
from typing import Any, Final

import structlog
from celery import signals

from model_store.images import ImageSource
from model_store.logs import configure_logging
from model_store.process import Services, exit_saying
from model_store.process_settings import load_settings
from model_store.registry import Registry
from model_store.s3 import S3Store
from model_store.signature import Signer, TrustedKeys
from producer.broker import CHECK, RETRAIN, TRAINING_QUEUE, celery_app, lane_queue, lease_client
from producer.errors import ShoalError
from producer.leases import Leases
from training import tasks
from training.auto_backfill import AutoBackfill
from training.backfill import Backfill
from training.check import Check
from training.progress import LoggedProgress
from training.retrain import Retraining
from training.schedule import beat_schedule, slot_at
from training.settings import Settings

log = structlog.get_logger(__name__)

ROLE: Final = "trainer"


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
        self._checks: dict[str, Check] = {}

    def retraining(self, collection: str) -> Retraining:
        """Give the retraining of one collection."""
        progress = LoggedProgress()
        return Retraining(collection, self._store, self._images, self._settings, progress, self._signer)

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
        if self._backfills is not None:
            self._backfills.close()
        for store in self._stores:
            store.close()


try:
    settings = load_settings(Settings)
    schedule = beat_schedule(settings.training)
except ShoalError as mistake:
    exit_saying(ROLE, mistake)

broker = settings.broker.for_training()
leases = Leases(lease_client(broker), broker.lease_s)
app = celery_app("training", broker, [lane_queue(TRAINING_QUEUE)], leases=leases, tasks=(RETRAIN, CHECK))
app.conf.update(worker_pool="threads", worker_concurrency=1, beat_schedule=schedule)
tasks.register(app)


class TrainerServices(Services):
    """The trainer's parts."""

    role = ROLE
    settings = settings
    broker = settings.broker.for_training()
    startup_timeout_s = settings.training.startup_timeout_s
    promotes = True

    def wire(self) -> Trainer:
        """Connect, and give the tasks what they work with."""
        trainer = Trainer(settings)
        tasks.serve_with(trainer)
        log.info("trainer ready", schedule=settings.training.schedule, every_s=settings.training.every_s)
        return trainer


app.steps["worker"].add(TrainerServices)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(**_: object) -> None:
    configure_logging(settings.log)


@signals.before_task_publish.connect(sender=RETRAIN)  # type: ignore[untyped-decorator]
def _name_the_run(body: tuple[Any, dict[str, Any], Any], **_: object) -> None:
    """Stamp the run's name when it is asked for: computed when it starts, a delayed twin would differ."""
    body[1].setdefault("slot", slot_at(time.time(), settings.training))
    body[1].update(settings.broker.keyring().sign(RETRAIN, body[1]))


@signals.before_task_publish.connect(sender=CHECK)  # type: ignore[untyped-decorator]
def _sign_the_check(body: tuple[Any, dict[str, Any], Any], **_: object) -> None:
    body[1].update(settings.broker.keyring().sign(CHECK, body[1]))
