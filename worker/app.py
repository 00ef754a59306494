"""The worker process: `celery -A worker.app worker`, or `shoal worker`.

Starts only with the threads pool, and only once broker, store and buckets answer.
"""

import os
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from celery import signals
from celery.concurrency.thread import TaskPool as ThreadPool

from model_store.logs import configure_logging
from model_store.process import Services, exit_saying
from model_store.process_settings import load_settings
from producer.broker import BULK, CLASSIFY, celery_app, classify_queues, lease_client
from producer.errors import ShoalError
from producer.leases import Leases
from worker import tasks
from worker.drain import drain
from worker.settings import Settings
from worker.watchdog import HANGS, end_now

if TYPE_CHECKING:
    from worker.context import Context

log = structlog.get_logger(__name__)

ROLE: Final = "worker"

try:
    settings = load_settings(Settings)
except ShoalError as mistake:
    exit_saying(ROLE, mistake)
leases = Leases(lease_client(settings.broker), settings.broker.lease_s)
app = celery_app(
    "worker",
    settings.broker,
    classify_queues(settings.broker),
    leases=leases,
    tasks=(CLASSIFY,),
    most_held={BULK: settings.worker.threads},
)
# worker_pool is not set here: Celery would let it replace a `--pool prefork` in silence
app.conf.update(worker_concurrency=settings.worker.threads + settings.worker.interactive_threads)
tasks.register(app)


class WorkerServices(Services):
    """The worker's parts."""

    role = ROLE
    settings = settings
    broker = settings.broker
    startup_timeout_s = settings.worker.startup_timeout_s

    def __init__(self, worker: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Refuse every pool but threads."""
        if not issubclass(worker.pool_cls, ThreadPool):
            exit_saying(
                ROLE,
                "needs the threads pool: CUDA does not survive a fork. Start it with `shoal worker`, or with "
                "`celery -A worker.app worker --pool threads`; for more GPUs start more workers",
            )
        super().__init__(worker, **options)

    def wire(self) -> "Context":
        """Connect, and give the tasks what they work with."""
        from worker.context import Context  # noqa: PLC0415 - brings torch: what is wrong is said without it

        context = Context(settings, leases)
        tasks.serve_with(context.deliveries)
        signals.task_prerun.connect(lambda task_id, **_: context.progress.taken(task_id), weak=False)
        signals.task_postrun.connect(lambda task_id, **_: context.progress.finished(task_id), weak=False)
        context.start_watching()
        context.presence.tell("ready")
        if context.endpoint is not None:
            log.info("health endpoint", url=context.endpoint.url)
        log.info(
            "worker ready",
            device=context.device,
            bulk_threads=settings.worker.threads,
            interactive_threads=settings.worker.interactive_threads,
        )
        return context

    def drain(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Finish what is in work within the limit; what takes longer is given back."""
        if self.wired is None:
            worker.pool.stop()
            return
        context = cast("Context", self.wired)
        context.presence.tell("draining")
        if drain(worker.pool.stop, context.progress, settings.worker.drain_timeout_s):
            return
        oldest_s = max(context.progress.ages_s().values(), default=0.0)
        status = HANGS if oldest_s > settings.worker.message_limit_s else os.EX_OK
        context.abandon(blameless=status == os.EX_OK)
        self.wired = None
        worker.pool.stop = lambda: None  # Celery would wait for what we do not
        signals.worker_shutdown.connect(lambda **_: end_now(status), weak=False)


app.steps["worker"].add(WorkerServices)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log_our_way(**_: object) -> None:
    configure_logging(settings.log)
