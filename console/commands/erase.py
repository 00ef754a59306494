"""`shoal erase`: everything that names a picture goes, and does not come back."""

from typing import Annotated

import typer
from rich.text import Text

from console.output import Bars, err, print_json, table
from console.store import Connection, connection
from model_store.erasure import Erasure
from model_store.erasure_record import ErasureRecord
from model_store.mentions import Mention
from model_store.s3 import S3Store


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    image_ids: Annotated[list[str], typer.Argument(help="as submitted")],
    collection: Annotated[str, typer.Option(help="in which they were submitted")] = "default",
    upload: Annotated[bool, typer.Option("--upload", help="delete the originals too")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="erase nothing: read the whole bucket and show what names them")
    ] = False,
    request: Annotated[
        str | None, typer.Option(help="name of the record, such as a ticket's; the same one is continued")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Erase pictures: results, ledger rows, exemplars, dead letters, reports; for good.

    Harmless to repeat, and completes what was cut short. With --verify exit status 1 says that something
    still names one of them.
    """
    with connection() as conn:
        uploads = {name: S3Store(name, conn.settings.store) for name in conn.settings.store.allowed_buckets}
        try:
            erasure = Erasure(conn.store, collection, uploads)
            if verify:
                _verify(conn, erasure, image_ids, as_json=as_json)
                return
            with Bars() as bars:
                bars.stage("erase")
                record = erasure.run(image_ids, request=request, originals=upload, on_progress=bars.advance)
        finally:
            for store in uploads.values():
                store.close()
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        _say(record)


def _verify(conn: Connection, erasure: Erasure, image_ids: list[str], *, as_json: bool) -> None:
    with Bars() as bars:
        bars.stage("read")
        found = list(erasure.verify(image_ids, on_progress=bars.advance))
    if as_json:
        named = [{"key": mention.key, "image_ids": mention.image_ids} for mention in found]
        print_json({"bucket": conn.settings.store.bucket, "image_ids": image_ids, "named_by": named})
    elif found:
        table("still named", ("object", "pictures"), [_row(mention) for mention in found])
    else:
        err.print(f"nothing in the bucket {conn.settings.store.bucket} names them", highlight=False)
    if found:
        raise typer.Exit(1)


def _row(mention: Mention) -> tuple[str, str]:
    return mention.key, ", ".join(mention.image_ids)


def _say(record: ErasureRecord) -> None:
    err.print(f"erasure {record.request}", highlight=False)
    if record.removed:
        table("", ("removed from", "places"), list(record.removed.items()))
    else:
        err.print("nothing named these pictures; they are kept out from now on", highlight=False)
    for version, taken in record.learnt_by.items():
        err.print(f"model {version} has learnt from {', '.join(taken)}", highlight=False)
    if record.unknown_models:
        err.print(
            "trained from a folder or an array, or without a list, so that nobody can tell whether they have "
            f"learnt from them: {', '.join(record.unknown_models)}",
            highlight=False,
            soft_wrap=True,
        )
    if record.learnt_by or record.unknown_models:
        err.print(
            f"  `shoal retrain --collection {record.collection}` makes one that has not; see docs/erasure.md",
            highlight=False,
        )
    for line in record.remains:
        err.print(Text("remains:", "bold"), line, highlight=False)
