"""`shoal sweep`: submits every upload that has no result."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, cast, get_args

import typer

from console.answered import Answered
from console.near_collection import New, connection_to
from console.output import Bars, err, one_of, print_json
from console.store import Connection
from console.sweep import IdFrom, Sweep, SweepRecord
from model_store.counted import counted
from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.s3 import S3Store
from producer.broker import LANES, lane_depths, redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages, Lane
from producer.errors import ConfigurationError, ObjectNotFound

A_BREAK: Final = timedelta(hours=1)  # after a longer one, what was submitted before may be lost
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
COUNTS: Final = ("seen", "older", "answered", "submitted", "unnameable")
Send = Callable[[ClassifyImages], None]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sweep)


def sweep(
    collection: Annotated[
        str, typer.Option(help="whose ledger and results count; submitted there")
    ] = "default",
    new: New = False,
    bucket: Annotated[
        str | None, typer.Option(help="of uploads; by default every one of the settings")
    ] = None,
    prefix: Annotated[str, typer.Option(help="only keys that begin so")] = "",
    since: Annotated[
        str | None, typer.Option(help="only uploads modified since: 2026-11-24T10:00, or 90m, 12h, 7d ago")
    ] = None,
    image_id: Annotated[
        str,
        typer.Option(
            help="how the platform names an upload: hash (of bucket and key, as `shoal submit` and S3 events "
            "do), stem (file name without its suffix), name (with it), key (/ replaced by _)"
        ),
    ] = "hash",
    lane: Annotated[str, typer.Option(help=" or ".join(LANES))] = "bulk",
    allow_training: Annotated[
        bool,
        typer.Option("--allow-training", help="uploads may be used in retraining; else they are kept out"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, submit nothing")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="begin anew where a sweep was broken off")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end")] = False,
) -> None:
    """Submit every upload that has no result: after this, a flushed or burnt Redis has lost nothing.

    Uploads whose messages still wait in Redis are submitted a second time, which does no harm. Broken off
    and started again with the same options, a sweep goes on where it stopped; after an hour, or if
    nothing waits in Redis any more, it begins anew. If Redis was lost meanwhile, say --restart. A picture
    uploaded under the key of one that was answered counts as answered.
    """
    id_from, on_lane = one_of("--image-id", image_id, get_args(IdFrom)), one_of("--lane", lane, LANES)
    start = _since(since)
    ended: list[SweepRecord] = []
    with (
        connection_to(collection, new=new or dry_run) as conn,
        Bars() as bars,
        Producer(conn.settings.broker) as producer,
    ):
        buckets = _buckets(conn, bucket)
        bars.stage("ledger")
        answered = Answered(_uploads_of(Ledger(conn.store, collection), bars.advance))
        for name in buckets:
            key = Layout(collection).sweep(_name(name, prefix, since, image_id, lane, str(allow_training)))
            record = None if dry_run or restart else _unfinished(conn, key)
            if record is not None:
                bars.note(f"goes on after {record.resume_after!r}: {record.submitted} were submitted before")
            bars.stage(name)
            with closing(S3Store(name, conn.settings.store)) as uploads:
                work = Sweep(
                    store=conn.store,
                    uploads=uploads,
                    collection=collection,
                    answered=answered,
                    send=None if dry_run else producer.send,
                    id_from=cast("IdFrom", id_from),
                    lane=cast("Lane", on_lane),
                    allow_training=allow_training,
                    on_progress=lambda now: bars.advance(now.seen),
                    on_wait=bars.note,
                )
                begin = record or SweepRecord(bucket=name, prefix=prefix, since=start)
                ended.append(work.run(begin, _saver(conn, None if dry_run else key)))
    _say(ended, collection, dry_run=dry_run, as_json=as_json)


def _uploads_of(ledger: Ledger, on_progress: Callable[[int], None]) -> Iterator[tuple[str, str]]:
    read = 0
    for table in ledger.tables(("bucket", "key")):
        yield from zip(table["bucket"].to_pylist(), table["key"].to_pylist(), strict=True)
        read += len(table)
        on_progress(read)


def _saver(conn: Connection, key: str | None) -> Callable[[SweepRecord], None]:
    def save(record: SweepRecord) -> None:
        if key is not None:
            conn.store.put(key, record.model_dump_json().encode())

    return save


def _unfinished(conn: Connection, key: str) -> SweepRecord | None:
    try:
        record = SweepRecord.model_validate_json(conn.store.get(key).data)
    except (ObjectNotFound, ValueError):  # one that cannot be read is begun anew
        return None
    if record.done or datetime.now(UTC) - record.updated_at > A_BREAK:
        return None
    with closing(redis_client(conn.settings.broker)) as client:
        something_waits = any(lane_depths(client, conn.settings.broker).values())
    return record if something_waits else None


def _name(*options: str | None) -> str:
    """Name a sweep after what it was asked: the same options find its record again."""
    return hashlib.sha256("\0".join(option or "" for option in options).encode()).hexdigest()[:16]


def _buckets(conn: Connection, bucket: str | None) -> tuple[str, ...]:
    allowed = conn.settings.store.allowed_buckets
    if bucket is not None and bucket not in allowed:
        raise ConfigurationError(
            f"workers may read {', '.join(allowed)}, not {bucket}; see SHOAL_STORE__MORE_UPLOADS_BUCKETS"
        )
    return allowed if bucket is None else (bucket,)


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago:
        return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--since is a time such as 2026-11-24T10:00, or 90m, 12h, 7d: {text}"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _say(ended: list[SweepRecord], collection: str, *, dry_run: bool, as_json: bool) -> None:
    sums = {count: sum(getattr(record, count) for record in ended) for count in COUNTS}
    if as_json:
        sweeps = [record.model_dump(mode="json") for record in ended]
        print_json({"collection": collection, "dry_run": dry_run, **sums, "sweeps": sweeps})
    else:
        did = "would be submitted" if dry_run else "submitted"
        err.print(
            f"{counted(sums['seen'], 'upload')}: {sums['answered']} answered, {sums['submitted']} {did}, "
            f"{sums['older']} older",
            highlight=False,
        )
    if sums["unnameable"]:
        example = next(record.first_unnameable for record in ended if record.first_unnameable is not None)
        err.print(
            f"{sums['unnameable']} have keys that give no image id, such as {example!r}: submit them by "
            "--image-id hash, or by the platform itself",
            highlight=False,
        )
        raise typer.Exit(1)
