"""Submitting: messages and references a second into Valkey, one by one and together, with and without fsync.

`.venv/bin/python -m benchmarks.submit [--json]` prints a table; with `--json` one JSON object as its last
line. Two Valkeys run side by side, `appendfsync always` and `everysec`, and each way sends the same to each
in turns: medians, the least and the most. `send` waits for each message before the next, `send_many` for all;
`submit` is through the outbox, by reference; `threads` are 16 callers that each wait for their future.
"""

import argparse
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from pydantic import SecretStr

from console.stack import Stack
from producer.broker import CLASSIFY, celery_app, classify_queues, redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef
from producer.settings import BrokerSettings

MESSAGES, SINGLES, THREADS = 200, 800, 16


def refs(first: int, count: int) -> tuple[ImageRef, ...]:
    return tuple(
        ImageRef(image_id=f"img_{n:08}", bucket="uploads", key=f"2026/11/28/{n:08}.jpg")
        for n in range(first, first + count)
    )


def messages(count: int, images: int) -> list[ClassifyImages]:
    return [ClassifyImages(lane="bulk", images=refs(n * images, images)) for n in range(count)]


class Client:
    """All ways to send to one broker."""

    def __init__(self, url: str, undo: contextlib.ExitStack) -> None:
        self.broker = BrokerSettings(url=SecretStr(url))
        self.producer = undo.enter_context(Producer(self.broker))
        self.wire = undo.enter_context(redis_client(self.broker))
        self.celery: Celery = undo.enter_context(
            celery_app("bench", self.broker, classify_queues(self.broker))
        )
        self.full, self.single = messages(MESSAGES, 256), messages(SINGLES, 1)

    def by_celery(self, sent: list[ClassifyImages]) -> None:
        """Send as any Celery client would."""
        for message in sent:
            self.celery.send_task(
                CLASSIFY,
                kwargs=message.model_dump(mode="json", exclude_none=True),
                task_id=message.message_id,
                queue=message.lane,
            )

    def one_by_one(self, sent: list[ClassifyImages]) -> None:
        """Wait for each before the next."""
        for message in sent:
            self.producer.send(message)

    def together(self, sent: list[ClassifyImages]) -> None:
        """Wait for all."""
        for outcome in self.producer.send_many(sent):
            if outcome is not None:
                raise outcome

    def through_the_outbox(self, sent: list[ClassifyImages]) -> None:
        """Hand in reference by reference."""
        self.producer.submit_many((ref for message in sent for ref in message.images), lane="bulk")

    def by_threads(self, sent: list[ClassifyImages]) -> None:
        """Have many callers wait for one each."""

        def submit(message: ClassifyImages) -> str:
            return self.producer.submit(message.images[0], lane="bulk").result(60)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(submit, sent))

    def ways(self) -> dict[str, tuple[Callable[[list[ClassifyImages]], None], list[ClassifyImages]]]:
        """Name each way, with what it sends."""
        return {
            "256 each, send": (self.one_by_one, self.full),
            "256 each, Celery": (self.by_celery, self.full),
            "256 each, send_many": (self.together, self.full),
            "256 each, submit": (self.through_the_outbox, self.full),
            "1 each, send": (self.one_by_one, self.single),
            "1 each, Celery": (self.by_celery, self.single),
            "1 each, send_many": (self.together, self.single),
            "1 each, threads": (self.by_threads, self.single),
        }


def references_per_s(client: Client, way: str) -> float:
    send, sent = client.ways()[way]
    client.wire.flushdb()
    client.producer._depths_read_at = float("-inf")  # noqa: SLF001 - what it knows of the lane is stale
    started = time.perf_counter()
    send(sent)
    return sum(len(message.images) for message in sent) / (time.perf_counter() - started)


def measured(rounds: int) -> dict[str, dict[str, list[float]]]:
    """References a second: by way, by fsync, of each round."""
    with contextlib.ExitStack() as undo:
        clients = {
            name: Client(undo.enter_context(Stack(fsync=fsync)).broker_url, undo)
            for name, fsync in (("always", True), ("everysec", False))
        }
        ways = clients["always"].ways()
        taken: dict[str, dict[str, list[float]]] = {way: {name: [] for name in clients} for way in ways}
        for _ in range(rounds):
            for way in ways:
                for name, client in clients.items():
                    taken[way][name].append(references_per_s(client, way))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    taken = measured(options.rounds)
    found: dict[str, object] = {
        "benchmark": "submit",
        "rounds": options.rounds,
        "load_before": round(load, 1),
    }
    print(f"{options.rounds} rounds in turns, medians; load before {load:.1f}")
    print(
        f"{'way':>20} {'fsync':>9} {'messages/s':>11} {'references/s':>13} {'spread':>20} {'of everysec':>12}"
    )
    for way, by_fsync in taken.items():
        ratio = statistics.median(
            always / without for always, without in zip(by_fsync["always"], by_fsync["everysec"], strict=True)
        )
        for name, rates in by_fsync.items():
            each = statistics.median(rates)
            n_messages = each / int(way.split(" ", maxsplit=1)[0])
            spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
            shown = f"{ratio:12.2f}" if name == "always" else ""
            print(f"{way:>20} {name:>9} {n_messages:11,.0f} {each:13,.0f} {spread:>20} {shown}")
            found[f"{way}, {name}"] = {"references_per_s": round(each), "messages_per_s": round(n_messages)}
        found[f"{way}, always to everysec"] = round(ratio, 2)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
