"""`shoal drift`: whether the pictures of now are still of the kind that the champion was trained on."""

from typing import Annotated

import typer

from console.output import err, print_json, table
from console.store import connection
from model_store.counted import counted
from model_store.process_settings import load_settings
from training.drift_window import DriftWatch
from training.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drift)


def drift(
    collection: Annotated[str, typer.Option(help="whose pictures")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Compare the latest pictures with what is usual for the champion; the trainer does it as they come."""
    settings = load_settings(Settings)
    with connection(settings) as conn:
        registry = conn.registry(collection)
        champion = registry.current()
        watch = DriftWatch(conn.store, registry, settings.training.drift)
        reading, alarm = watch.reading(champion), watch.alarm()
    since = alarm.since if alarm and alarm.reading.version == champion.version else None
    if as_json:
        figures = {f.name: {**f.model_dump(), "level": f.level} for f in reading.figures} if reading else None
        print_json(
            {
                "collection": collection,
                "version": champion.version,
                "n_images": reading.n_images if reading else None,
                "figures": figures,
                "alarm_since": since.isoformat() if since else None,
                "alarm_reason": alarm.reason if alarm and since else None,
            }
        )
        return
    if reading is None:
        n = settings.training.drift.window_images
        err.print(f"{champion.version} has seen fewer than {n} pictures yet: nothing to compare")
        return
    rows = [
        (f.name, f"{f.value:.4g}", f"{f.usual:.4g}", f"{f.limit:.4g}", f"{f.level:.0%}")
        for f in reading.figures
    ]
    title = (
        f"the latest {counted(reading.n_images, 'picture')} of {collection}, as {champion.version} sees them"
    )
    table(title, ("figure", "now", "usual", "limit", "of the way"), rows)
    said = f"alarm since {since:%Y-%m-%d %H:%M} UTC: {alarm.reason}" if alarm and since else "no alarm"
    err.print(said, highlight=False)
