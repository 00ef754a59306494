"""`shoal submit`: uploads local pictures, or takes those that lie in the store, and submits them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from console.commands.submit_bulk import submit_bulk
from console.near_collection import New, connection_to
from console.no_result import say_if_no_model
from console.output import Bars, err, one_of, print_json
from console.picture_names import may_be_picture
from console.submission import Submission
from console.waiting import wait_for_results
from model_store.counted import counted
from model_store.layout import Layout
from model_store.manifest import sha256
from model_store.process_settings import ProcessSettings
from model_store.results import Results
from model_store.s3 import S3Store
from producer.broker import LANES
from producer.client import Producer
from producer.contracts import ImageRef, Lane, Result
from producer.errors import ConfigurationError
from producer.s3_events import image_id_for
from producer.ulid import new_ulid

UPLOADED_AT_ONCE: Final = 256
S3: Final = "s3://"
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
    on_lane = cast("Lane", one_of("--lane", lane, LANES))
    submission, passed_over = Submission(collection), list[str]()
    found: dict[str, Result] = {}
    first = new_ulid()
    try:
        with connection_to(collection, new=new) as conn, Bars() as bars:
            bars.stage("submit")
            with Producer(conn.settings.broker) as producer:
                for name, ref in _named(sources, prefix, conn.settings, passed_over):
                    producer.submit(ref, collection=collection, lane=on_lane)
                    submission.pictures.append((name, ref))
                    bars.advance(len(submission.pictures))
            if passed_over:
                said = f"passed over, no pictures by their names: {len(passed_over)} ({_some(passed_over)})"
                err.print(said, highlight=False, soft_wrap=True)
            if not submission.pictures:
                raise ConfigurationError(f"nothing to submit: no picture in {', '.join(sources)}")
            say_if_no_model(conn.registry(collection), conn.store)
            if wait:
                found = _awaited(submission, conn.results(collection), bars, first, patience_s)
    except (KeyboardInterrupt, SystemExit):
        err.print(submission.how_it_stands(), highlight=False, soft_wrap=True)
        raise
    refs = [ref for _, ref in submission.pictures]
    missing = sum(ref.image_id not in found for ref in refs)
    if as_json:
        images = [
            {**ref.model_dump(include={"image_id", "bucket", "key"}), "file": name}
            for name, ref in submission.pictures
        ]
        answers = [found[ref.image_id] for ref in refs if ref.image_id in found]
        print_json(
            {
                "submitted": len(refs),
                "passed_over": passed_over,
                "collection": collection,
                "images": images,
                "results": [answer.model_dump(mode="json") for answer in answers],
            }
        )
    else:
        submission.show(found)
        err.print(f"submitted {counted(len(refs), 'picture')} to collection {collection}", highlight=False)
        err.print(submission.how_to_look(shown=wait), highlight=False, soft_wrap=True)
    if wait and missing:
        err.print(
            f"without a result yet: {missing}; `shoal status --collection {collection}` "
            "shows what they wait for",
            highlight=False,
        )
        raise typer.Exit(1)


def _awaited(
    submission: Submission, results: Results, bars: Bars, first: str, patience_s: float
) -> dict[str, Result]:
    def count(answered: int) -> None:
        submission.answered = answered
        bars.advance(answered)

    ids = submission.image_ids()
    bars.stage("classify", len(ids))
    count(0)
    return wait_for_results(results, ids, not_before=first, patience_s=patience_s, on_progress=count)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_OF_MANY]) + (", ..." if len(names) > SHOWN_OF_MANY else "")


def _named(
    sources: list[str], prefix: str, settings: ProcessSettings, passed_over: list[str]
) -> Iterator[tuple[str, ImageRef]]:
    """Give each picture as the user named it: a file with the folders that lead to it, or s3://bucket/key."""
    for source in sources:
        if source.startswith(S3):
            yield from _stored(source, settings)
        else:
            yield from _uploaded(Path(source), prefix, settings, passed_over)


def _stored(source: str, settings: ProcessSettings) -> Iterator[tuple[str, ImageRef]]:
    bucket, _, key_prefix = source.removeprefix(S3).partition("/")
    if bucket not in settings.store.allowed_buckets:
        allowed = ", ".join(settings.store.allowed_buckets)
        raise ConfigurationError(
            f"workers may read {allowed}, not {bucket}; see SHOAL_STORE__MORE_UPLOADS_BUCKETS"
        )
    for info in S3Store(bucket, settings.store).list(key_prefix):
        image_id = image_id_for(bucket, info.key)
        ref = ImageRef(image_id=image_id, bucket=bucket, key=info.key, etag=info.etag)
        yield f"{S3}{bucket}/{info.key}", ref


def _uploaded(
    path: Path, prefix: str, settings: ProcessSettings, passed_over: list[str]
) -> Iterator[tuple[str, ImageRef]]:
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
        part = [(file, *_keyed(file, prefix)) for file in files[start : start + UPLOADED_AT_ONCE]]
        names = {key: str(file) for file, key, _ in part}
        for key, etag in store.put_many({key: data for _, key, data in part}).items():
            if not isinstance(etag, str):
                raise etag
            image_id = image_id_for(store.bucket, key)
            yield names[key], ImageRef(image_id=image_id, bucket=store.bucket, key=key, etag=etag)


def _keyed(file: Path, prefix: str) -> tuple[str, bytes]:
    """Give a file's key and bytes; the content is part of the key, since equal names are common."""
    data = file.read_bytes()
    return f"{prefix}{sha256(data)[:16]}/{file.name}", data
