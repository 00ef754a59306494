"""`shoal submit`: uploads local pictures, or takes those that lie in the store, and submits them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from console.commands.result import COLUMNS, map_rows
from console.commands.submit_bulk import submit_bulk
from console.near_collection import New, connection_to
from console.no_result import say_if_no_model
from console.output import Bars, err, one_of, print_json, table
from console.picture_names import may_be_picture
from console.waiting import wait_for_results
from model_store.counted import counted
from model_store.layout import Layout
from model_store.manifest import sha256
from model_store.process_settings import ProcessSettings
from model_store.s3 import S3Store
from producer.broker import LANES
from producer.client import Producer
from producer.contracts import ImageRef, Lane, Result
from producer.errors import ConfigurationError
from producer.s3_events import image_id_for
from producer.ulid import new_ulid

UPLOADED_AT_ONCE: Final = 256
S3: Final = "s3://"
SHOWN_ONE_BY_ONE: Final = 25
SHOWN_OF_MANY: Final = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(
    sources: Annotated[
        list[str], typer.Argument(help="files and folders, uploaded first; or s3://bucket/prefix")
    ],
    collection: Annotated[str, typer.Option(help="clustering space")] = "default",
    new: New = False,
    lane: Annotated[str, typer.Option(help=" or ".join(LANES))] = "interactive",
    bulk: Annotated[
        bool,
        typer.Option(
            "--bulk",
            help="one folder, s3://bucket/prefix or manifest.csv as a job of any size; see docs/bulk.md",
        ),
    ] = False,
    job: Annotated[
        str | None, typer.Option(help="with --bulk: name of the job; by default it follows from the source")
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--resend", help="with --bulk, after Redis was lost: submit the pictures without a row"),
    ] = False,
    prefix: Annotated[str, typer.Option(help="of the keys of uploaded files")] = "cli/",
    wait: Annotated[bool, typer.Option(help="show the results when they are there")] = False,
    patience_s: Annotated[
        float, typer.Option(help="with --wait: give up when nothing came for so long")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end")] = False,
) -> None:
    """Submit pictures for classification.

    With --bulk the listing is streamed, results are Parquet parts, and the same command goes on where it
    stopped.
    """
    if bulk:
        submit_bulk(
            sources,
            collection=collection,
            new=new,
            prefix=prefix,
            job=job,
            again=again,
            wait=wait,
            patience_s=patience_s,
            as_json=as_json,
        )
        return
    Layout(collection)  # wrong words are told before anything is uploaded
    on_lane = one_of("--lane", lane, LANES)
    first = new_ulid()
    with connection_to(collection, new=new) as conn, Bars() as bars:
        bars.stage("submit")
        with Producer(conn.settings.broker) as producer:
            refs, passed_over = list[ImageRef](), list[str]()
            for ref in _refs(sources, prefix, conn.settings, passed_over):
                producer.submit(ref, collection=collection, lane=cast("Lane", on_lane))
                refs.append(ref)
                bars.advance(len(refs))
        if passed_over:
            said = f"passed over, no pictures by their names: {len(passed_over)} ({_some(passed_over)})"
            err.print(said, highlight=False, markup=False, soft_wrap=True)
        if not refs:
            raise ConfigurationError(f"nothing to submit: no picture in {', '.join(sources)}")
        say_if_no_model(conn.registry(collection), conn.store)
        found: dict[str, Result] = {}
        if wait:
            bars.stage("classify", len(refs))
            ids = [ref.image_id for ref in refs]
            found = wait_for_results(
                conn.results(collection),
                ids,
                not_before=first,
                patience_s=patience_s,
                on_progress=bars.advance,
            )
    answers = [found[ref.image_id] for ref in refs if ref.image_id in found]
    if as_json:
        images = [ref.model_dump(include={"image_id", "bucket", "key"}) for ref in refs]
        results = [answer.model_dump(mode="json") for answer in answers]
        print_json(
            {
                "submitted": len(refs),
                "passed_over": passed_over,
                "collection": collection,
                "images": images,
                "results": results,
            }
        )
    else:
        if len(answers) > SHOWN_ONE_BY_ONE:
            table("results", ("status", "cluster or error", "pictures"), _summary(answers))
        elif answers:
            table("results", COLUMNS, map_rows(answers))
        err.print(f"submitted {counted(len(refs), 'picture')} to collection {collection}", highlight=False)
        err.print(_how_to_look(refs, collection, shown=wait), highlight=False, soft_wrap=True)
    if wait and len(answers) < len(refs):
        err.print(
            f"without a result yet: {len(refs) - len(answers)}; `shoal status --collection {collection}` "
            "shows what they wait for",
            highlight=False,
        )
        raise typer.Exit(1)


def _summary(answers: list[Result]) -> list[tuple[object, ...]]:
    counts = Counter(
        (answer.status, answer.error.code if answer.error else answer.cluster.id if answer.cluster else None)
        for answer in answers
    )
    return [(*what, count) for what, count in counts.most_common()]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_OF_MANY]) + (", ..." if len(names) > SHOWN_OF_MANY else "")


def _how_to_look(refs: list[ImageRef], collection: str, *, shown: bool) -> str:
    ids = list(dict.fromkeys(ref.image_id for ref in refs))
    of = "" if collection == "default" else f" --collection {collection}"
    if len(ids) <= SHOWN_ONE_BY_ONE:
        return f"their results: `shoal result {' '.join(ids)}{of}`"
    each = f"each by its id: `shoal result {ids[0]}{of}`"
    if shown:
        return each
    return (
        f"{each}; all of them: the same command with --wait, and --json for every one; it submits them again"
    )


def _refs(
    sources: list[str], prefix: str, settings: ProcessSettings, passed_over: list[str]
) -> Iterator[ImageRef]:
    for source in sources:
        if source.startswith(S3):
            yield from _stored(source, settings)
        else:
            yield from _uploaded(Path(source), prefix, settings, passed_over)


def _stored(source: str, settings: ProcessSettings) -> Iterator[ImageRef]:
    bucket, _, key_prefix = source.removeprefix(S3).partition("/")
    if bucket not in settings.store.allowed_buckets:
        allowed = ", ".join(settings.store.allowed_buckets)
        raise ConfigurationError(
            f"workers may read {allowed}, not {bucket}; see SHOAL_STORE__MORE_UPLOADS_BUCKETS"
        )
    for info in S3Store(bucket, settings.store).list(key_prefix):
        yield ImageRef(image_id=image_id_for(bucket, info.key), bucket=bucket, key=info.key, etag=info.etag)


def _uploaded(
    path: Path, prefix: str, settings: ProcessSettings, passed_over: list[str]
) -> Iterator[ImageRef]:
    """Upload a file, whatever its name, or what may be pictures of a folder; the rest is `passed_over`."""
    if not path.exists():
        raise ConfigurationError(f"no file or folder {path}")
    files = [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
        files = [file for file in found if may_be_picture(file.relative_to(path))]
        passed_over += map(str, sorted(set(found).difference(files)))
    store = S3Store(settings.store.uploads_bucket, settings.store)
    for start in range(0, len(files), UPLOADED_AT_ONCE):
        part = dict(_keyed(file, prefix) for file in files[start : start + UPLOADED_AT_ONCE])
        for key, outcome in store.put_many(part).items():
            if not isinstance(outcome, str):
                raise outcome
            yield ImageRef(
                image_id=image_id_for(store.bucket, key), bucket=store.bucket, key=key, etag=outcome
            )


def _keyed(file: Path, prefix: str) -> tuple[str, bytes]:
    """Give a file's key and bytes; the content is part of the key, since equal names are common."""
    data = file.read_bytes()
    return f"{prefix}{sha256(data)[:16]}/{file.name}", data
