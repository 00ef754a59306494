"""The trainer process and its beat: `shoal trainer`, `shoal beat`.

They use a broker database of their own: a run takes longer than any visibility timeout of the workers.
"""

import time
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from celery import signals

from model_store.logs import configure_logging
from model_store.process import Services, exit_saying
from model_store.process_settings import load_settings
from producer.broker import CHECK, RETRAIN, TRAINING_QUEUE, celery_app, lane_queue, lease_client
from producer.errors import ShoalError
from producer.leases import Leases
from training import tasks
from training.schedule import beat_schedule, slot_at
from training.settings import Settings

if TYPE_CHECKING:
    from training.trainer import Trainer

log = structlog.get_logger(__name__)

ROLE: Final = "trainer"
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

    def wire(self) -> "Trainer":
        """Connect, and give the tasks what they work with."""
        from training.trainer import Trainer  # noqa: PLC0415 - brings torch and scikit-learn: beat needs neither

        trainer = Trainer(settings)
        tasks.serve_with(trainer)
        log.info("trainer ready", schedule=settings.training.schedule, every_s=settings.training.every_s)
        return trainer

    def drain(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Wait for the run that is under way, and say what becomes of it where nobody else does."""
        run = cast("Trainer", self.wired).under_way() if self.wired is not None else None
        if run is not None:
            from training.runs import MAX_ATTEMPTS  # noqa: PLC0415 - beat needs none of it

            then = "the next trainer goes on from its last checkpoint"
            if run.attempt >= MAX_ATTEMPTS:
                then = "the run has failed, it died before"
            log.warning("a training is under way and waited for", slot=run.slot, if_killed=then)
        super().drain(worker)


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
