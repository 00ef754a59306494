"""`shoal result`: what became of pictures."""

from collections import defaultdict
from contextlib import closing
from typing import Annotated

import typer

from console.near_collection import say_if_mistyped
from console.no_result import reasons
from console.output import err, print_json, table
from console.result_rows import COLUMNS, result_rows
from console.store import Connection, connection
from model_store.cluster_names import ClusterNames
from model_store.latest import Latest
from model_store.shown_result import shown
from producer.broker import broker_errors, lane_depths, redis_client
from producer.contracts import Result
from producer.errors import ShoalError
from producer.leases import LEASED
from producer.settings import BrokerSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(result)


def result(
    image_ids: Annotated[list[str], typer.Argument(help="as submitted")],
    collection: Annotated[str, typer.Option(help="in which they were submitted")] = "default",
    job: Annotated[
        str | None, typer.Option(help="look only into this job's parts: faster where there are many jobs")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
) -> None:
    """Show the latest result of one or more pictures; exit status 1 and the reason if one has none."""
    with connection() as conn:
        names = ClusterNames(conn.store, collection).read()  # of now, whatever they were then
        stored = Latest(conn.store, collection).get_many(image_ids, [job] if job else None)
        found = {image_id: shown(answer, names) for image_id, answer in stored.items()}
        _print([found[image_id] for image_id in image_ids if image_id in found], as_json)
        missing = _missing(conn, collection, job, [name for name in image_ids if name not in found])
        if missing:
            say_if_mistyped(conn.store, collection)
    for reason, pictures in missing.items():
        err.print(f"no result of {', '.join(pictures)}: {reason}", highlight=False, soft_wrap=True)
    if missing:
        raise typer.Exit(1)


def _print(answers: list[Result], as_json: bool) -> None:
    if as_json:
        for answer in answers:
            print_json(answer.model_dump(mode="json"))
    elif answers:
        table("results", COLUMNS, result_rows(answers))


def _missing(
    conn: Connection, collection: str, job: str | None, image_ids: list[str]
) -> dict[str, list[str]]:
    """Give the pictures without a result by the reason why, or why that is not known."""
    if not image_ids:
        return {}
    if job is not None:
        return {f"the job {job} has no row of it": image_ids}
    found = defaultdict(list)
    try:
        why = reasons(
            conn.store, conn.registry(collection), image_ids, lambda: _waiting(conn.settings.broker)
        )
    except ShoalError as error:
        return {f"why is not known: {error}": image_ids}
    for image_id in image_ids:
        found[why[image_id]].append(image_id)
    return found


def _waiting(broker: BrokerSettings) -> int:
    """Count the messages that wait, are put off or in work.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with closing(redis_client(broker)) as client, broker_errors(broker):
        return sum(lane_depths(client, broker).values()) + client.hlen(LEASED)
