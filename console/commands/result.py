"""`shoal result`: what became of pictures."""

from typing import Annotated

import typer

from console.output import err, print_json, table
from console.store import connection
from model_store.cluster_names import ClusterNames
from model_store.latest import Latest
from model_store.shown_result import shown
from producer.contracts import Result

COLUMNS = ("image", "status", "cluster", "distance", "typicality", "model", "error")


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
    """Show the latest result of one or more pictures; exit status 1 if one has none."""
    with connection() as conn:
        names = ClusterNames(conn.store, collection).read()  # of now, whatever they were then
        stored = Latest(conn.store, collection).get_many(image_ids, [job] if job else None)
        found = {image_id: shown(answer, names) for image_id, answer in stored.items()}
    answers = [found[image_id] for image_id in image_ids if image_id in found]
    if as_json:
        for answer in answers:
            print_json(answer.model_dump(mode="json"))
    elif answers:
        table(
            "results",
            COLUMNS,
            map_rows(answers),
        )
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        err.print(f"no result (yet): {', '.join(missing)}", highlight=False)
        raise typer.Exit(1)


def map_rows(answers: list[Result]) -> list[tuple[object, ...]]:
    """Give a table's rows."""
    return [
        (
            answer.image_id,
            answer.status,
            answer.cluster.name or answer.cluster.id if answer.cluster else None,
            f"{answer.distance:.3f}" if answer.distance is not None else None,
            f"{answer.typicality:.2f}" if answer.typicality is not None else None,
            answer.model.version if answer.model else None,
            f"{answer.error.code}: {answer.error.detail}" if answer.error else None,
        )
        for answer in answers
    ]
