"""The health of this host's workers, as an orchestrator asks for it with `shoal worker --check`."""

import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from model_store.counted import counted
from model_store.readiness import ping
from model_store.s3 import check_bucket
from producer.broker import redis_client
from producer.errors import ShoalError
from producer.presence import workers
from worker.health import Check
from worker.settings import Settings


def worker_checks(settings: Settings) -> list[Check]:
    """Check broker, store, and what each worker of this host tells of itself.

    A worker that waits for a first model is well: it lives, and takes messages once there is one.
    """
    checks = [
        _answers("broker", settings.broker.masked_url(), lambda: ping(settings.broker)),
        _answers("store", settings.store.bucket, lambda: check_bucket(settings.store.bucket, settings.store)),
    ]
    if not checks[0].ok:
        return [*checks, Check("worker", ok=False, detail="not known while the broker is away")]
    host = socket.gethostname()
    with contextlib.closing(redis_client(settings.broker)) as client:
        here = [
            record
            for record in workers(client, settings.broker)
            if record["worker"].rpartition(":")[0] == host
        ]
    if not here:
        return [*checks, Check("worker", ok=False, detail=f"none runs on {host}")]
    for record in here:
        checks += _of_worker(record, settings.worker.message_limit_s)
    return checks


def _of_worker(record: dict[str, Any], message_limit_s: float) -> list[Check]:
    name, state = record["worker"], record.get("state", "unknown")
    models = ", ".join(f"{c}: {stamp['version']}" for c, stamp in record["models"].items())
    oldest_s = record.get("oldest_in_work_s", 0.0)
    told = record.get("last_progress_at")
    ago_s = (datetime.now(UTC) - datetime.fromisoformat(told)).total_seconds() if told else float("nan")
    in_work = counted(record.get("in_work", 0), "message")
    progress = f"{ago_s:.0f} s ago, {in_work} in work, the oldest for {oldest_s:.0f} s"
    return [
        Check(f"worker {name}", state == "ready", state),
        Check("model loaded", ok=True, detail=models or "none yet, messages wait for a first one"),
        Check("last progress", oldest_s <= message_limit_s, progress),
    ]


def _answers(name: str, where: str, ask: Callable[[], object]) -> Check:
    try:
        ask()
    except ShoalError as error:
        return Check(name, ok=False, detail=str(error))
    return Check(name, ok=True, detail=f"{where} answers")
