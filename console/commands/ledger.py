"""`shoal ledger`: what was classified, and its upkeep."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from console.output import err, print_json
from console.store import connection
from model_store.compaction import compact_finished_days
from model_store.counted import counted

ledger = typer.Typer(help="Look after the ledger.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(ledger, name="ledger")


@ledger.callback()
def _several() -> None:
    """Keep a single command a subcommand."""


@ledger.command()
def compact(
    collection: Annotated[str, typer.Option(help="whose ledger")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Write each finished day's small files into one, without erased pictures. The trainer does it hourly."""
    with connection() as conn:
        done = compact_finished_days(conn.store, collection, datetime.now(UTC).date())
    if as_json:
        print_json({"collection": collection, **asdict(done)})
        return
    err.print(
        f"{counted(done.days, 'day')} compacted: {counted(done.parts, 'part')}, "
        f"{counted(done.rows, 'row')} kept, {done.dropped} of erased pictures left out",
        highlight=False,
    )
