"""More workers, and longer queues.

`.venv/bin/python -m benchmarks.scaling [--json]` prints tables; with `--json` the last line is a JSON object.

- 1, 2, 4, 8 real workers whose device sleeps (`serving/stub_worker.py`): two cores show no more otherwise
- a backlog from 1,000 to 1,000,000 references: bytes in Redis, rates of publishing and taking, and how soon a
  worker that is started before the longest one has done its first message
- publishing to that broker and to one that is empty, turn about: what a machine does meanwhile both bear
"""

import argparse
import contextlib
import json
import os
import statistics
import time
from typing import Final

from pydantic import SecretStr

from benchmarks.serving.served import Log, Served, served
from console.stack import Stack
from producer.broker import BULK, INTERACTIVE, lease_client
from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef
from producer.leases import DUE, LEASED, Leases
from producer.settings import BrokerSettings

WORKERS: Final = (1, 2, 4, 8)
PASS_S, PER_WORKER, PICTURES = 3.0, 12, 4
BACKLOGS: Final = (1_000, 10_000, 100_000, 1_000_000)
FIRST: Final = ("ready_s", "first_after_ready_s")
FULL, TAKEN, AT_ONCE, TURNS = 256, 100, 128, 20
STUB: Final = {
    "STUB_S": str(PASS_S),
    "SHOAL_WORKER__THREADS": "2",  # one on the device, one that fetches meanwhile: a message each pass
    "SHOAL_WORKER__INTERACTIVE_THREADS": "0",
    "SHOAL_WORKER__DECODE_PROCESSES": "1",
    "OMP_NUM_THREADS": "1",
}


def send(producer: Producer, messages: list[ClassifyImages]) -> float:
    """Send all; gives the seconds."""
    started = time.monotonic()
    for outcome in producer.send_many(messages):
        if outcome is not None:
            raise outcome
    return time.monotonic() - started


def more_workers(platform: Served, producer: Producer) -> list[dict[str, float]]:
    """Messages a second by number of workers; efficiency is against as many times the rate of one."""
    rows: list[dict[str, float]] = []
    logs: list[Log] = []
    with contextlib.ExitStack() as running:
        for count in WORKERS:
            logs += running.enter_context(
                platform.workers(count - len(logs), "benchmarks.serving.stub_worker", **STUB)
            )
            before = [len(log.done) for log in logs]
            messages = [
                ClassifyImages(lane=BULK, images=tuple(platform.some(PICTURES, f"scale-{count}-{n}")))
                for n in range(PER_WORKER * count)
            ]
            started = time.monotonic()
            send(producer, messages)
            ids = {message.message_id for message in messages}
            done: dict[str, float] = {}
            while len(done) < len(ids):
                time.sleep(0.05)
                done = {i: moment for log in logs for i, moment in list(log.done.items()) if i in ids}
            took_s = max(done.values()) - started
            shares = [len(log.done) - had for log, had in zip(logs, before, strict=True)]
            rate = len(ids) / took_s
            row = {
                "workers": count,
                "messages_per_s": round(rate, 2),
                "efficiency": round(rate / count / (rows[0]["messages_per_s"] if rows else rate), 3),
                "of_the_device": round(rate * PASS_S / count, 3),
                "largest_share": round(max(shares) * count / len(ids), 2),
                "load": round(os.getloadavg()[0], 1),
            }
            rows.append(row)
            print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    return rows


def full_message(number: int) -> ClassifyImages:
    refs = (
        ImageRef(
            image_id=f"img_{number:06}_{i:03}", bucket="uploads", key=f"2026/11/28/{number:06}/{i:03}.jpg"
        )
        for i in range(FULL)
    )
    return ClassifyImages(lane=BULK, images=tuple(refs))


def longer_queues(platform: Served, producer: Producer) -> list[dict[str, float]]:
    """References taken and published a second, and bytes of each, as the backlog grows."""
    rows: list[dict[str, float]] = []
    rates: list[float] = []
    with contextlib.closing(lease_client(platform.broker)) as client:
        client.flushdb()
        leases, queued, empty = Leases(client, 3600), 0, int(client.info("memory")["used_memory"])
        for backlog in BACKLOGS:
            wanted = -(-backlog // FULL)
            while queued < wanted:
                part = [full_message(n) for n in range(queued, min(wanted, queued + AT_ONCE))]
                rates.append(len(part) * FULL / send(producer, part))
                queued += len(part)
            grown = int(client.info("memory")["used_memory"]) - empty
            started, taken = time.monotonic(), min(TAKEN, queued)
            for n in range(taken):
                name = f"{leases.holder}-{backlog}-{n}"
                client.execute_command(*leases.reserve_command(name, [INTERACTIVE, BULK]))
                client.pipeline().zrem(DUE, name).hdel(LEASED, name).execute()
            took_s = time.monotonic() - started
            send(producer, [full_message(10**6 + backlog + n) for n in range(taken)])  # as long as it was
            row = {
                "references": queued * FULL,
                "bytes_each": round(grown / (queued * FULL), 1),
                "published_per_s": round(statistics.median(rates[-5:])),
                "taken_per_s": round(taken * FULL / took_s),
                "load": round(os.getloadavg()[0], 1),
            }
            rows.append(row)
            print("  ".join(f"{name} {value:,.10g}" for name, value in row.items()), flush=True)
        leases.close()
    return rows


def full_to_empty(full: Producer) -> dict[str, float]:
    """Publish to the broker with the backlog and to an empty one, turn about; medians. It adds to it."""
    rates: dict[str, list[float]] = {"full": [], "empty": []}
    with Stack() as stack, contextlib.ExitStack() as undo:
        broker = BrokerSettings(url=SecretStr(stack.broker_url))
        turns = [("full", full), ("empty", undo.enter_context(Producer(broker)))]
        client = undo.enter_context(contextlib.closing(lease_client(broker)))
        for turn in range(TURNS):
            part = [full_message(2 * 10**6 + turn * AT_ONCE + n) for n in range(AT_ONCE)]
            for name, producer in turns:
                rates[name].append(AT_ONCE * FULL / send(producer, part))
            turns.reverse()  # neither is always the first
            client.flushdb()
    of_each = [one / other for one, other in zip(rates["full"], rates["empty"], strict=True)]
    return {
        "publish_full_to_empty": round(statistics.median(of_each), 2),
        **{f"published_per_s_{name}": round(statistics.median(each)) for name, each in rates.items()},
    }


def first_done(platform: Served) -> dict[str, float]:
    """Seconds until a worker before the whole backlog has done a message: from its start, and once ready."""
    started = time.monotonic()
    with platform.workers(1) as (log,):
        ready = time.monotonic()
        while not log.done:
            time.sleep(0.01)
        first = min(log.done.values())
    return dict(zip(FIRST, (round(ready - started, 1), round(first - ready, 2)), strict=True))


def backlog(platform: Served, producer: Producer) -> dict[str, object]:
    """Measure what a backlog costs: while it is as long as it says, and then publishing, which adds to it."""
    rows = longer_queues(platform, producer)
    more = first_done(platform)
    more |= full_to_empty(producer)
    print(more)
    return {"backlog": rows, **more}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", choices=("workers", "backlog"), help="only this one")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, object] = {"benchmark": "scaling"}
    with served() as platform, Producer(platform.broker) as producer:
        if options.part in (None, "workers"):
            print(
                f"workers, {PASS_S:g} s a pass, messages of {PICTURES} pictures, {PER_WORKER} for each worker"
            )
            workers = more_workers(platform, producer)
            found["workers"] = workers
            found["efficiency_at_8"] = workers[-1]["efficiency"]
            found["largest_share"] = max(row["largest_share"] for row in workers)
        if options.part in (None, "backlog"):
            print("backlog")
            found |= backlog(platform, producer)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
