"""The `shoal` command. Each subcommand is a module of `console.commands`, imported when it is asked for."""

import importlib
import os
import signal
import sys
from types import MappingProxyType
from typing import Final, NoReturn

import structlog
import typer
from rich.text import Text

from console.output import err
from model_store.process_settings import PREFIX, ProcessSettings, refuse_unknown, variables
from producer.errors import ConfigurationError, ShoalError

# In the order of --help. What a module offers it adds to the app in `register`.
COMMANDS: Final = MappingProxyType(
    {
        "demo": "demo",
        "up": "up",
        "submit": "submit",
        "result": "result",
        "jobs": "jobs",
        "status": "status",
        "train": "train",
        "retrain": "retrain",
        "evaluate": "evaluate",
        "models": "models",
        "backfill": "backfill",
        "erase": "erase",
        "dead": "dead",
        "sweep": "sweep",
        "clusters": "clusters",
        "drift": "drift",
        "ledger": "ledger",
        "worker": "roles",
        "trainer": "roles",
        "beat": "roles",
        "init": "roles",
        "settings": "settings",
        "deploy": "deploy",
    }
)


def build_app(wanted: str | None) -> typer.Typer:
    """Make the app with one subcommand, or with all where it is not known which will be used."""
    app = typer.Typer(
        help="Sorts uploaded pictures into clusters while they arrive.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps a single command a subcommand
    module = COMMANDS.get(wanted or "")
    modules = [module] if module else list(dict.fromkeys(COMMANDS.values()))
    for module in modules:
        importlib.import_module(f"console.commands.{module}").register(app)
    return app


def run() -> None:
    """Run the command line; an expected error is one line and exit status 1, an unknown setting 78."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    # at each line anew: while bars are drawn it is another
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    if wanted in COMMANDS and wanted != "settings" and "--help" not in sys.argv:
        _refuse_unknown_settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary folders go
    try:
        build_app(wanted)()
    except ShoalError as error:
        _end(error, 1)
    except BrokenPipeError:  # `shoal ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse_unknown_settings() -> None:
    """End, with the status of wrong settings, if a variable is called `SHOAL_...` and is none."""
    if {name for name in os.environ if name.startswith(PREFIX)} <= variables(ProcessSettings).keys():
        return
    from training.settings import Settings as TrainerSettings  # noqa: PLC0415 - takes a while: only if need be
    from worker.settings import Settings as WorkerSettings  # noqa: PLC0415 - likewise

    try:
        refuse_unknown(WorkerSettings, TrainerSettings)
    except ConfigurationError as error:
        _end(error, os.EX_CONFIG)


def _end(error: ShoalError, status: int) -> NoReturn:
    err.print(Text("error:", "bold red"), str(error), highlight=False, soft_wrap=True)
    sys.exit(status)
