"""Single uploads, from `Producer.submit` to the stored result, by a real worker on the embedded stack.

`.venv/bin/python -m benchmarks.latency [--json]` prints tables; with `--json` a JSON object as the last line.

- idle: one at a time, against the sum of its parts measured alone
- under bulk: one at a time while 20,000 pictures wait in the bulk lane
- at 30, 60 and 90 % of capacity: submitted at random moments (Poisson), whatever has been answered so far

Stored means that the worker has said so: results, ledger, and the look at the tombstones are done. All runs
on the same cores: client, broker, store and worker.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Final

from benchmarks.serving.parts_alone import parts_alone
from benchmarks.serving.served import Log, Served, served
from producer.client import Producer
from producer.contracts import ClassifyImages

IDLE, UNDER_BULK, CAPACITY_OF, RATE_FOR_S = 300, 300, 1500, 10.0
BULK_MESSAGES, PER_MESSAGE = 80, 256
SHARES: Final = (0.3, 0.6, 0.9)
MS: Final = 1000.0
rng = random.Random(0)  # noqa: S311 - repeatable


def at(share: float, values: list[float]) -> float:
    """Give a percentile, in milliseconds."""
    return MS * sorted(values)[min(len(values) - 1, int(share * len(values)))]


def figures(values: list[float]) -> dict[str, float]:
    return {"p50_ms": round(at(0.5, values), 1), "p99_ms": round(at(0.99, values), 1), "n": len(values)}


def wait(log: Log, message_ids: list[str], patience_s: float = 600.0) -> None:
    give_up_at = time.monotonic() + patience_s
    for message_id in message_ids:
        while message_id not in log.done:
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"no answer: {log.others[-5:]}")
            time.sleep(0.001)


def one_at_a_time(
    platform: Served, producer: Producer, log: Log, count: int, name: str, more: Callable[[], bool]
) -> list[float]:
    """Seconds that each took; ends early when `more` says so."""
    taken = []
    for ref in platform.some(count, name):
        if not more():
            break
        started = time.monotonic()
        message_id = producer.submit(ref).result(60)
        wait(log, [message_id])
        taken.append(log.done[message_id] - started)
        time.sleep(rng.uniform(0.02, 0.08))  # longer than the outbox lingers
    return taken


def under_bulk(platform: Served, producer: Producer, log: Log) -> dict[str, float]:
    messages = [
        ClassifyImages(lane="bulk", job_id="latency", images=tuple(platform.some(PER_MESSAGE, f"bulk-{n}")))
        for n in range(BULK_MESSAGES)
    ]
    before = log.pictures
    started = time.monotonic()
    for outcome in producer.send_many(messages):
        if outcome is not None:
            raise outcome

    def more() -> bool:  # all threads have bulk to do until the last of it is taken
        return log.pictures - before < (BULK_MESSAGES - 8) * PER_MESSAGE

    taken = one_at_a_time(platform, producer, log, UNDER_BULK, "under-bulk", more)
    wait(log, [message.message_id for message in messages])
    took_s = max(log.done[message.message_id] for message in messages) - started
    return {**figures(taken), "bulk_images_per_s": round(BULK_MESSAGES * PER_MESSAGE / took_s)}


def capacity(platform: Served, producer: Producer, log: Log) -> float:
    """Single submits answered per second, when as many as can be are submitted."""
    started = time.monotonic()
    futures = [producer.submit(ref) for ref in platform.some(CAPACITY_OF, "capacity")]
    ids = [future.result(60) for future in futures]
    wait(log, ids)
    return CAPACITY_OF / (max(log.done[i] for i in set(ids)) - started)


def at_rate(platform: Served, producer: Producer, log: Log, per_s: float, name: str) -> dict[str, float]:
    sent = []
    moment = time.monotonic()
    for ref in platform.some(int(per_s * RATE_FOR_S), name):
        moment += rng.expovariate(per_s)
        if moment > time.monotonic():
            time.sleep(moment - time.monotonic())
        sent.append((moment, producer.submit(ref)))
    ids = [(due, future.result(60)) for due, future in sent]
    wait(log, [message_id for _, message_id in ids])
    taken = [log.done[message_id] - due for due, message_id in ids]
    return {**figures(taken), "per_s": round(per_s)}


def said(name: str, row: dict[str, float]) -> dict[str, float]:
    more = {key: value for key, value in row.items() if key not in ("p50_ms", "p99_ms", "n")}
    print(f"{name:>20} {row['p50_ms']:9.1f} {row['p99_ms']:9.1f} {row['n']:7} {more or ''}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, object] = {"benchmark": "latency", "load_before": round(os.getloadavg()[0], 1)}
    with served() as platform, contextlib.ExitStack() as undo:
        producer = undo.enter_context(Producer(platform.broker))
        parts = parts_alone(platform)
        print("part, alone             p50 ms")
        for name, milliseconds in parts.items():
            print(f"{name:>20} {milliseconds:9.1f}")
        total = sum(parts.values())
        print(f"{'sum':>20} {total:9.1f}\n")
        with platform.workers(1) as (log,):
            one_at_a_time(platform, producer, log, 20, "warm", lambda: True)
            print(f"{'case':>20} {'p50 ms':>9} {'p99 ms':>9} {'n':>7}")
            idle = one_at_a_time(platform, producer, log, IDLE, "idle", lambda: True)
            rows = {"idle": said("idle", figures(idle))}
            rows["under bulk"] = said("under bulk", under_bulk(platform, producer, log))
            most = statistics.median(capacity(platform, producer, log) for _ in range(3))
            for share in SHARES:
                name = f"{share:.0%} of capacity"
                row = at_rate(platform, producer, log, share * most, f"rate-{int(100 * share)}")
                rows[name] = said(name, row)
    found |= {"parts_ms": parts, "cases": rows, "capacity_images_per_s": round(most)}
    found["idle_p50_to_sum_of_parts"] = round(rows["idle"]["p50_ms"] / total, 2)
    found["under_bulk_p99_to_idle_p99"] = round(rows["under bulk"]["p99_ms"] / rows["idle"]["p99_ms"], 2)
    found["load_after"] = round(os.getloadavg()[0], 1)
    for name in ("idle_p50_to_sum_of_parts", "under_bulk_p99_to_idle_p99", "load_before", "load_after"):
        print(f"{name}: {found[name]}")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
