"""`shoal jobs`: what came of the jobs of the bulk lane."""

from typing import Annotated

import typer

from console.job_watch import JobState, JobWatch
from console.near_collection import say_if_mistyped
from console.output import Bars, err, print_json, table
from console.store import connection
from model_store.job_record import JobRecord
from model_store.jobs import Jobs
from producer.errors import ConfigurationError, PreconditionFailed

Collection = Annotated[str, typer.Option(help="in which it was submitted")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object")]
COLUMNS = ("job", "state", "pictures", "answered", "messages", "started", "source")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    jobs = typer.Typer(
        no_args_is_help=True, help="Jobs of the bulk lane: how far they are, what came of them."
    )
    jobs.command("list")(list_jobs)
    jobs.command()(show)
    jobs.command()(wait)
    jobs.command()(close)
    app.add_typer(jobs, name="jobs")


def list_jobs(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List all jobs, and complete those that can be."""
    with connection() as conn:
        say_if_mistyped(conn.store, collection)
        watch = JobWatch(conn.store, collection)
        states = [watch.state(job_id) for job_id in Jobs(conn.store, collection).names()]
    if as_json:
        print_json({"jobs": [_document(state, parts=False) for state in states]})
    else:
        table("jobs", COLUMNS, [_row(state) for state in states])


def show(
    job_id: Annotated[str, typer.Argument(help="as `shoal submit --bulk` says it")],
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Show one job, its manifest included if it is complete."""
    with connection() as conn:
        state = JobWatch(conn.store, collection).state(job_id)
    print_json(_document(state)) if as_json else say_state(state)


def wait(
    job_id: Annotated[str, typer.Argument(help="as `shoal submit --bulk` says it")],
    collection: Collection = "default",
    patience_s: Annotated[float, typer.Option(help="give up when nothing came for so long")] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Wait until a job is complete; exit status 1 if it is not."""
    with connection() as conn, Bars(rate="pictures/s") as bars:
        bars.stage("classify")
        state = JobWatch(conn.store, collection).wait(
            job_id,
            patience_s,
            lambda now: bars.advance(now.answered, now.record.pictures if now.record else None),
        )
    print_json(_document(state)) if as_json else say_state(state)
    if state.manifest is None:
        raise typer.Exit(1)


def close(
    job_id: Annotated[str, typer.Argument(help="as the messages name it")],
    pictures: Annotated[int, typer.Option(help="how many different pictures were submitted", min=1)],
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Say that a job that the platform itself submitted has so many pictures: then it can become complete."""
    with connection() as conn:
        record = JobRecord(
            job_id=job_id,
            collection=collection,
            source="submitted by the platform",
            state="closed",
            messages=None,
            pictures=pictures,
        )
        try:
            Jobs(conn.store, collection).save(record, None)
        except PreconditionFailed as error:
            raise ConfigurationError(f"what the job {job_id} consists of is written down already") from error
        state = JobWatch(conn.store, collection).state(job_id)
    print_json(_document(state)) if as_json else say_state(state)


def say_state(state: JobState) -> None:
    """Say how a job is, for people."""
    record, manifest = state.record, state.manifest
    of = f" of {record.messages}" if record and record.messages is not None else ""
    rows: list[tuple[str, object]] = [("state", state.name), ("messages answered", f"{state.parts}{of}")]
    if record is not None:
        rows[:0] = [("source", record.source)]
        rows += [("pictures submitted", record.pictures), ("entries skipped", record.skipped)]
    if manifest is not None:
        rows += [("different pictures", manifest.pictures), *manifest.totals.items()]
        rows += [("completed", f"{manifest.completed_at:%Y-%m-%d %H:%M:%S} UTC")]
    table(f"job {state.job_id}", ("what", "value"), rows)
    if manifest is None:
        err.print(f"`shoal jobs wait {state.job_id}` follows it", highlight=False)


def _document(state: JobState, *, parts: bool = True) -> dict[str, object]:
    record = state.record.model_dump(mode="json") if state.record else {"job_id": state.job_id}
    manifest = None
    if state.manifest is not None:
        manifest = state.manifest.model_dump(mode="json", exclude=None if parts else {"parts"})
    return {
        **record,
        "state": state.name,
        "answered": state.answered,
        "parts": state.parts,
        "manifest": manifest,
    }


def _row(state: JobState) -> tuple[object, ...]:
    record = state.record
    return (
        state.job_id,
        state.name,
        record.pictures if record else None,
        state.answered,
        record.messages if record else None,
        f"{record.started_at:%Y-%m-%d %H:%M}" if record else None,
        record.source if record else None,
    )
