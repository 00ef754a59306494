"""`shoal submit --bulk`: a job of any size, streamed, and taken up where it stopped."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import typer

from console.bulk import BulkSubmission, job_id_for
from console.bulk_folder import Folder
from console.bulk_resend import resend
from console.bulk_source import BulkSource, CsvManifest, StoredPictures
from console.commands.jobs import say_state
from console.job_watch import JobWatch
from console.near_collection import connection_to
from console.no_result import say_if_no_model
from console.output import Bars, err, print_json
from console.store import Connection
from model_store.counted import counted
from model_store.job_parts import JobParts
from model_store.jobs import Jobs
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.client import Producer
from producer.errors import BrokerUnavailable, ConfigurationError, StoreUnavailable

S3: Final = "s3://"


def submit_bulk(
    sources: Sequence[str],
    *,
    collection: str,
    new: bool,
    prefix: str,
    job: str | None,
    again: bool,
    wait: bool,
    patience_s: float,
    as_json: bool,
) -> None:
    """Submit one source as a job; the same again goes on where it stopped.

    Raises:
        ConfigurationError: the source cannot be read, or is another job's.
        BrokerUnavailable, StoreUnavailable: what was submitted stays; says how to go on.
    """
    if len(sources) != 1:
        raise ConfigurationError("--bulk takes one folder, one s3://bucket/prefix or one manifest.csv")
    with (
        connection_to(collection, new=new) as conn,
        Bars(rate="pictures/s") as bars,
        ExitStack() as stack,
    ):
        bars.stage("look")
        source = _source(sources[0], prefix, conn.settings.store, stack)
        if isinstance(source, CsvManifest) and source.unused:
            bars.note(f"columns that are not used: {', '.join(source.unused)}")
        job_id = job or job_id_for(collection, source)
        _submitted(conn, bars, job_id, collection, source, again=again)
        say_if_no_model(conn.registry(collection), conn.store)
        watch = JobWatch(conn.store, collection)
        state = watch.state(job_id)
        if wait and state.manifest is None:
            bars.stage("classify", state.record.pictures if state.record else None)
            state = watch.wait(job_id, patience_s, lambda now: bars.advance(now.answered))
    record = state.record
    if record is None:
        raise ConfigurationError(f"the job {job_id} was removed meanwhile")
    if as_json:
        manifest = state.manifest.model_dump(mode="json") if state.manifest else None
        print_json({**record.model_dump(mode="json"), "state": state.name, "manifest": manifest})
    else:
        say_state(state)
    if record.skipped:
        err.print(
            f"skipped {counted(record.skipped, 'entry')}, such as {record.first_skipped}",
            highlight=False,
        )
    if record.skipped or (wait and state.manifest is None):
        raise typer.Exit(1)


def _submitted(
    conn: Connection, bars: Bars, job_id: str, collection: str, source: BulkSource, *, again: bool
) -> None:
    with Producer(conn.settings.broker) as producer:
        work = BulkSubmission(
            Jobs(conn.store, collection), producer.send_many, on_progress=bars.advance, on_wait=bars.note
        )
        held = work.begin(job_id, collection, source)
        if held.record.state == "closed" and not again:
            bars.note(f"the job {job_id} was submitted before; another --job submits it anew")
            return
        if held.record.pictures and not again:
            bars.note(f"the job {job_id} goes on after {counted(held.record.pictures, 'picture')}")
        bars.stage("submit", source.total)
        bars.advance(held.record.pictures)
        try:
            if again:
                parts = JobParts(conn.store, collection)
                resend(held, source, Jobs(conn.store, collection), parts, work)
            else:
                work.run(held, source)
        except (BrokerUnavailable, StoreUnavailable) as error:
            raise type(error)(f"{error}. What was submitted stays: the same command goes on") from error
        except (KeyboardInterrupt, SystemExit):
            err.print(f"stopped; the same command goes on with the job {job_id}", highlight=False)
            raise


def _source(source: str, prefix: str, settings: StoreSettings, stack: ExitStack) -> BulkSource:
    if source.startswith(S3):
        bucket, _, key_prefix = source.removeprefix(S3).partition("/")
        if bucket not in settings.allowed_buckets:
            raise ConfigurationError(
                f"workers may read {', '.join(settings.allowed_buckets)}, not {bucket}; "
                "see SHOAL_STORE__MORE_UPLOADS_BUCKETS"
            )
        return StoredPictures(stack.enter_context(closing(S3Store(bucket, settings))), bucket, key_prefix)
    path = Path(source)
    if path.is_dir():
        store = stack.enter_context(closing(S3Store(settings.uploads_bucket, settings)))
        return Folder(path, store, store.bucket, prefix)
    if path.suffix == ".csv" and path.is_file():
        return CsvManifest(path, settings.uploads_bucket, settings.allowed_buckets)
    raise ConfigurationError(f"{source} is no folder, no s3://bucket/prefix and no file named .csv")
