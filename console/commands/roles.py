"""`shoal worker | trainer | beat`: one process each, in the foreground. `shoal init`: the buckets."""

import os
import socket
import sys
import time
import warnings
from functools import partial
from typing import Annotated, NoReturn

import typer
from celery import Celery
from celery.beat import Scheduler
from celery.exceptions import SecurityWarning

from console.output import err
from model_store.process_settings import ProcessSettings, load_settings
from model_store.readiness import wait_for, wait_until_ready
from model_store.s3 import create_bucket

LONELY = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}  # nobody listens


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(worker)
    app.command()(trainer)
    app.command()(beat)
    app.command()(init)


def worker() -> None:
    """Run a worker: one process per GPU, as many as you like."""
    from worker.app import app  # noqa: PLC0415 - reads the worker's settings

    _serve(app, "worker")


def trainer() -> None:
    """Run the trainer: takes retraining runs, one at a time."""
    from training.app import app  # noqa: PLC0415 - reads the trainer's settings

    _serve(app, "trainer")


def _serve(app: Celery, role: str) -> NoReturn:
    """Run a Celery worker until it is told to stop; exits with its status, which Celery's own main loses."""
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: Shoal takes JSON only
    name = f"{role}-{os.getpid()}@{socket.gethostname()}"
    process = app.Worker(hostname=name, pool_cls="threads", quiet=True, **LONELY)
    process.start()
    sys.exit(process.exitcode)


def beat() -> None:
    """Run beat: asks for retraining when it is due. Several are harmless."""
    from training.app import app  # noqa: PLC0415 - reads the trainer's settings

    # in memory: Celery's own keeps a pickle on disk, and what a run's slot guards need not be remembered
    app.Beat(scheduler=Scheduler, quiet=True).run()


def init(
    timeout_s: Annotated[float, typer.Option(help="to find the store and the broker")] = 60.0,
) -> None:
    """Create the buckets that the settings name, where they are missing; then check that all answers."""
    settings = load_settings(ProcessSettings)
    give_up_at = time.monotonic() + timeout_s
    for bucket in (settings.store.bucket, *settings.store.allowed_buckets):
        where = f"bucket {bucket} at {settings.store.endpoint or 'AWS'}"
        wait_for("store", where, "SHOAL_STORE__*", partial(create_bucket, bucket, settings.store), give_up_at)
        err.print(f"{where}: there", highlight=False)
    wait_until_ready(settings.broker, settings.store, timeout_s, promotes=True)
