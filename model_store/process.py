"""What the Celery processes have in common: they start only once all they need answers, and stop in order."""

import gc
import os
import sys
from importlib.metadata import version
from typing import Any, NoReturn, Protocol

import structlog
from celery import bootsteps
from celery.worker import state

from model_store.process_settings import ProcessSettings
from model_store.readiness import wait_until_ready
from producer.errors import ShoalError, TransientError
from producer.settings import BrokerSettings

log = structlog.get_logger(__name__)


class Closable(Protocol):
    """What lives as long as the process."""

    def close(self) -> None:
        """Let go of everything."""


def exit_saying(role: str, why: object) -> NoReturn:
    """End the process with one line that says what to do, its status tells whether to start it again."""
    sys.stderr.write(f"shoal {role}: {why}\n")
    sys.exit(os.EX_UNAVAILABLE if isinstance(why, TransientError) else os.EX_CONFIG)


class Services(bootsteps.StartStopStep):  # type: ignore[misc]
    """Everything that must run before the first message is taken, and stop after the last."""

    requires = ("celery.worker.components:Pool",)
    role: str
    settings: ProcessSettings
    broker: BrokerSettings
    startup_timeout_s: float
    promotes: bool = False  # moves aliases: refuses a store whose conditional writes do not exclude
    wired: Closable | None = None

    def wire(self) -> Closable:
        """Build what the tasks work with; called once broker, store and buckets answer."""
        raise NotImplementedError

    def start(self, worker: Any) -> None:  # noqa: ANN401, ARG002 - Celery's signature
        """Wait for what is needed, then wire the process."""
        settings = self.settings.model_dump(mode="json")  # secrets as asterisks
        log.info("process starts", role=self.role, version=version("shoal"), settings=settings)
        try:
            wait_until_ready(
                self.broker,
                self.settings.store,
                self.startup_timeout_s,
                promotes=self.promotes,
                on_wait=state.maybe_shutdown,
            )
            self.wired = self.wire()
        except ShoalError as error:
            exit_saying(self.role, error)
        gc.collect()
        gc.freeze()  # 300,000 objects that stay: each look through them held every thread up for 0.2 s

    def stop(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Let the pool finish what is in hand, then let go of what it needs."""
        self.drain(worker)  # steps stop in reverse: left to itself, the pool would come after us
        if self.wired is not None:
            self.wired.close()

    def drain(self, worker: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Return when nothing is in work any more, or `wired` needs no closing."""
        worker.pool.stop()
