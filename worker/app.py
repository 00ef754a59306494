"""The worker process: `celery -A worker.app worker`, or `shoal worker`.

Starts only with the threads pool, and only once broker, store and buckets answer.
"""

import sys
from typing import Any, NoReturn

import structlog
from celery import bootsteps, signals
from celery.concurrency.thread import TaskPool as ThreadPool

from model_store.logs import configure_logging
from model_store.process_settings import load_settings
from model_store.readiness import wait_until_ready
from producer.broker import celery_app, classify_queues
from producer.errors import ShoalError
from worker import tasks
from worker.context import Context
from worker.settings import Settings

log = structlog.get_logger(__name__)

EX_CONFIG = 78  # sysexits.h: starting again does not help


def _exit(message: str) -> NoReturn:
    sys.stderr.write(f"shoal worker: {message}\n")
    sys.exit(EX_CONFIG)


def _settings() -> Settings:
    try:
        return load_settings(Settings)
    except ShoalError as error:
        _exit(str(error))


settings = _settings()
app = celery_app("worker", settings.broker, classify_queues(settings.broker))
# worker_pool is not set here: Celery would let it replace a `--pool prefork` in silence
app.conf.update(worker_concurrency=settings.worker.threads)
tasks.register(app)


class Services(bootsteps.StartStopStep):  # type: ignore[misc]
    """Everything that must run before the first message is taken, and stop after the last."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Refuse every pool but threads."""
        if not issubclass(worker.pool_cls, ThreadPool):
            _exit(
                "needs the threads pool: CUDA does not survive a fork. Start it with `shoal worker`, or with "
                "`celery -A worker.app worker --pool threads`; for more GPUs start more workers"
            )
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Wait for what is needed, then wire the process."""
        log.info("settings", settings=settings.model_dump(mode="json"))
        try:
            wait_until_ready(settings.broker, settings.store, settings.worker.startup_timeout_s)
            worker.shoal = Context(settings)
        except ShoalError as error:
            _exit(str(error))
        tasks.serve_with(worker.shoal)
        log.info("worker ready", device=worker.shoal.device, threads=settings.worker.threads)

    def stop(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Let the pool finish the messages in hand, then let go of what they need."""
        worker.pool.stop()  # steps stop in reverse: left to itself, the pool would come after us
        if hasattr(worker, "shoal"):
            worker.shoal.close()


app.steps["worker"].add(Services)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(**_: object) -> None:
    configure_logging(settings.log)
