"""`shoal up`: everything on one machine, in the foreground, with one log."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from console.output import err
from console.stack import Stack, forget_other_servers
from console.stack_folder import write_private
from console.supervisor import Child, Supervisor
from model_store.process_settings import PREFIX, STACK_FILE, load_settings
from producer.errors import ConfigurationError
from worker.settings import Settings as WorkerSettings

DATA_DIR = STACK_FILE.parent
BROKER_URL, STORE_ENDPOINT = "SHOAL_BROKER__URL", "SHOAL_STORE__ENDPOINT"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    workers: Annotated[int, typer.Option(min=0, help="worker processes")] = 1,
    data_dir: Annotated[Path, typer.Option(help="of the embedded servers")] = DATA_DIR,
) -> None:
    """Start servers, workers, trainer and beat; Ctrl-C stops all.

    With SHOAL_BROKER__URL set, the servers of the settings are used and none is started.
    """
    _refuse_shared_port(workers)
    with _servers(data_dir) as environment:
        for name in (*(f"worker-{i + 1}" for i in range(workers)), "trainer", "beat"):
            err.print(f"  {name}", highlight=False)
        raise SystemExit(Supervisor(_children(workers, environment, data_dir)).run())


def _refuse_shared_port(workers: int) -> None:
    """Refuse a port of the workers that two processes would want."""
    port = _workers_port() if workers else None
    if port and workers > 1:
        raise ConfigurationError(
            f"SHOAL_WORKER__HEALTH_PORT={port} is one port, and {workers} workers need one each: set it to 0 "
            "for any free ones, which the log tells"
        )
    if port and port == _trainers_port():
        raise ConfigurationError(
            f"SHOAL_WORKER__HEALTH_PORT and SHOAL_TRAINING__METRICS_PORT are both {port}, and worker and "
            "trainer need one each: set one of them to another, or to 0 for any free one, which the log tells"
        )


def _workers_port() -> int | None:
    with contextlib.suppress(
        ConfigurationError
    ):  # the process that is set wrongly says so, and ends them all
        return load_settings(WorkerSettings).worker.health_port
    return None


def _trainers_port() -> int | None:
    from training.settings import Settings as TrainerSettings  # noqa: PLC0415 - takes a while: only if need be

    with contextlib.suppress(ConfigurationError):
        return load_settings(TrainerSettings).training.metrics_port
    return None


@contextlib.contextmanager
def _servers(data_dir: Path) -> Iterator[dict[str, str]]:
    """Give the environment of the servers: those that are set, or embedded ones."""
    if BROKER_URL in os.environ:
        err.print("using the servers of the environment")
        yield {}
        return
    if STORE_ENDPOINT in os.environ:
        raise ConfigurationError(f"{STORE_ENDPOINT} is set and {BROKER_URL} is not: set both, or neither")
    forget_other_servers()
    err.print(f"starting Valkey and SeaweedFS, data in {data_dir}/")
    with Stack(data_dir) as stack:
        environment = stack.environment()
        env_file = STACK_FILE  # in this folder, wherever the data is: here it is looked for
        env_file.parent.mkdir(exist_ok=True)
        write_private(env_file, "".join(f"{name}={value}\n" for name, value in environment.items()))
        err.print(
            f"S3 at {stack.endpoint}; other shoal commands in this folder find the servers by themselves"
        )
        try:
            yield environment
        finally:
            env_file.unlink(missing_ok=True)


def _children(workers: int, environment: dict[str, str], data_dir: Path) -> list[Child]:
    shoal = [sys.executable, "-m", "console.cli"]
    data_dir.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)} | environment
    return [
        *(Child(f"worker-{i + 1}", [*shoal, "worker"], env, grace_s=30) for i in range(workers)),
        Child("trainer", [*shoal, "trainer"], env, grace_s=30),
        Child("beat", [*shoal, "beat"], env),
    ]
