"""`shoal worker | trainer | beat`: one process each, in the foreground. `shoal init`: the buckets."""

import sys
from typing import Annotated

import typer

from console.output import err
from model_store.process_settings import ProcessSettings, load_settings
from model_store.readiness import wait_until_ready
from model_store.s3 import create_bucket

QUIET_CELERY = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(worker)
    app.command()(trainer)
    app.command()(beat)
    app.command()(init)


def worker() -> None:
    """Run a worker: one process per GPU, as many as you like."""
    from worker.app import app  # noqa: PLC0415 - reads the worker's settings

    app.worker_main(["worker", "--pool", "threads", *QUIET_CELERY])


def trainer() -> None:
    """Run the trainer: takes retraining runs, one at a time."""
    from training.app import app  # noqa: PLC0415 - reads the trainer's settings

    app.worker_main(
        ["worker", "--pool", "threads", "--concurrency", "1", "--hostname", "trainer@%h", *QUIET_CELERY]
    )


def beat(
    state: Annotated[str, typer.Option(help="file in which the last run is kept")] = "/tmp/shoal-beat",  # noqa: S108
) -> None:
    """Run beat: asks for retraining when it is due. Several are harmless."""
    from training.app import app  # noqa: PLC0415 - reads the trainer's settings

    sys.argv[:] = ["shoal-beat"]
    app.start(["beat", "--schedule", state, "--pidfile", ""])


def init(
    timeout_s: Annotated[float, typer.Option(help="to find the store and the broker")] = 60.0,
) -> None:
    """Create the buckets that the settings name, where they are missing; then check that all answers."""
    settings = load_settings(ProcessSettings)
    for bucket in (settings.store.bucket, *settings.store.allowed_buckets):
        new = create_bucket(bucket, settings.store)
        err.print(f"bucket {bucket}: {'created' if new else 'exists'}")
    wait_until_ready(settings.broker, settings.store, timeout_s)
