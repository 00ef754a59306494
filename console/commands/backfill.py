"""`shoal backfill`: renews the answers that an older model gave."""

import threading
from dataclasses import asdict
from typing import Annotated

import typer

from console.output import Bars, err, print_json, table
from console.store import connection
from model_store.counted import counted
from model_store.process_settings import load_settings
from producer.client import Producer
from producer.errors import ConfigurationError
from training.backfill import Backfill, Outlook
from training.backfill_record import BackfillRecord, read
from training.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backfill)


def backfill(
    collection: Annotated[str, typer.Option(help="whose answers")] = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count")] = False,
    images_per_s: Annotated[
        float | None, typer.Option(help="submitted at most; default: SHOAL_TRAINING__BACKFILL__IMAGES_PER_S")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end")] = False,
) -> None:
    """Submit pictures whose cluster the champion may change, on the bulk lane; may be interrupted."""
    settings = load_settings(Settings)
    how = settings.training.backfill
    if images_per_s is not None:
        if images_per_s <= 0:
            raise ConfigurationError("--images-per-s is more than 0")
        how = how.model_copy(update={"images_per_s": images_per_s})
    with connection(settings) as conn, Bars() as bars:
        registry = conn.registry(collection)
        work = Backfill(conn.store, registry, how, threading.Event())
        if dry_run:
            _say_outlook(work.outlook(bars), as_json)
            return
        with Producer(conn.settings.broker) as producer:
            record = work.run(producer, bars)
        if record is None:
            found = read(conn.store, collection, registry.current().generation)
            _say(found[0] if found else None, as_json)
        else:
            _say(record, as_json)


def _say_outlook(outlook: Outlook, as_json: bool) -> None:
    moves = [{"from": before, "to": now, "pictures": n} for (before, now), n in outlook.moves.items()]
    if as_json:
        print_json({**asdict(outlook), "left_alone": outlook.left_alone, "moves": moves})
        return
    rows = [
        ("in the ledger", outlook.pictures, "each counts once; erased ones do not"),
        ("left alone", outlook.left_alone, "the champion's own answers, and those without a cluster"),
        ("stay", outlook.stay, "of an older model, and by their stored projections surely the same"),
        ("submitted", outlook.submit, "of an older model, all others: these a backfill would classify again"),
    ]
    what = f"backfill by {outlook.version}, generation {outlook.generation}"
    table(what, ("pictures", "count", "which are"), rows)
    if moves:
        title = "of those submitted, by their stored projections"
        table(title, ("from", "to", "pictures"), [tuple(move.values()) for move in moves])


def _say(record: BackfillRecord | None, as_json: bool) -> None:
    if record is None:
        raise ConfigurationError("the champion moved meanwhile: run it again")
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    state = {
        "running": f"is under way in another process, last sign of life {record.renewed_at:%H:%M:%S} UTC",
        "done": "is done",
        "stopped": f"was stopped ({record.reason}); run it again to go on",
    }[record.state]
    err.print(
        f"backfill by {record.version} {state}: {counted(record.submitted, 'picture')} submitted",
        highlight=False,
    )
