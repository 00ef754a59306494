"""`shoal retrain`: asks the trainer for a run now."""

from typing import Annotated

import typer

from console.output import err, print_json
from model_store.layout import Layout
from model_store.process_settings import load_settings
from producer.broker import RETRAIN, TRAINING_QUEUE, broker_errors, celery_app, lane_queue
from producer.ulid import new_ulid
from training.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrain)


def retrain(
    collection: Annotated[str, typer.Option(help="which to retrain")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Ask the trainer for a run on the ledger; it promotes the new model only if it is better."""
    Layout(collection)
    settings = load_settings(Settings)
    broker = settings.broker.for_training()
    slot = f"manual-{new_ulid().lower()}"
    fields = broker.keyring().sign(RETRAIN, {"collection": collection, "slot": slot})
    with broker_errors(broker), celery_app("console", broker, [lane_queue(TRAINING_QUEUE)]) as app:
        app.send_task(RETRAIN, kwargs=fields, queue=TRAINING_QUEUE, retry=False)
    if as_json:
        print_json({"collection": collection, "slot": slot})
    else:
        err.print(f"asked for run {slot}; `shoal models runs` shows how it ends", highlight=False)
