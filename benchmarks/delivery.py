"""What closing the hole costs: our reserve, receipts, and Celery's own pop-then-book, on one Valkey.

`.venv/bin/python benchmarks/delivery.py` prints a table, then one JSON line. Each way moves the same messages
in turns: medians. `bytes` is what Valkey holds per waiting picture.
"""

import json
import statistics
import time
from collections.abc import Callable

import redis

from console.stack import Stack
from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages, ImageRef
from producer.envelope import envelope
from producer.leases import BELL, BELL_RINGS, Leases

MESSAGES, IMAGES, ROUNDS = 300, 256, 7


def letters() -> list[bytes]:
    made = []
    for number in range(MESSAGES):
        refs = tuple(
            ImageRef(
                image_id=f"img_{number:06}_{i:03}", bucket="uploads", key=f"2026/11/24/{number:06}/{i:03}.jpg"
            )
            for i in range(IMAGES)
        )
        message = ClassifyImages(images=refs)
        fields = message.model_dump(mode="json", exclude_none=True)
        made.append(envelope(CLASSIFY, message.message_id, fields))
    return made


class Ours:
    """One script takes and books; senders ring the bell."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.leases = Leases(client, 3600)

    def push(self, letter: bytes, name: str) -> None:  # noqa: ARG002 - only receipts have names
        """Send one message."""
        with self.client.pipeline() as pipe:
            pipe.lpush("bulk", letter).lpush(BELL, 1).ltrim(BELL, 0, BELL_RINGS - 1).execute()

    def take(self, name: str) -> None:
        """Take one message, and be done with it."""
        self.client.execute_command(*self.leases.reserve_command(name, ["interactive", "celery", "bulk"]))
        with self.client.pipeline() as pipe:
            pipe.zrem("shoal:leases", name).hdel("shoal:leased", name).execute()


class Receipts:
    """The sender writes each message twice; taken as Celery takes, and the receipt removed at the end."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client

    def push(self, letter: bytes, name: str) -> None:
        """Send one message."""
        with self.client.pipeline() as pipe:
            pipe.lpush("bulk", letter).hset("receipts", name, letter).execute()

    def take(self, name: str) -> None:
        """Take one message, and be done with it."""
        letter = self.client.brpop(["interactive", "celery", "bulk"], 1)[1]
        with self.client.pipeline() as pipe:
            pipe.zadd("index", {name: time.time()}).hset("unacked", name, letter).execute()
        with self.client.pipeline() as pipe:
            pipe.zrem("index", name).hdel("unacked", name).hdel("receipts", name).execute()


class Stock(Receipts):
    """Celery's own transport: loses what strikes between pop and booking."""

    def push(self, letter: bytes, name: str) -> None:  # noqa: ARG002 - only receipts have names
        """Send one message."""
        self.client.lpush("bulk", letter)


def measure(way: Ours | Receipts, client: "redis.Redis", sent: list[bytes]) -> tuple[float, float, float]:
    client.flushdb()
    before = int(client.info("memory")["used_memory"])

    def rate(step: Callable[[int], object]) -> float:
        started = time.perf_counter()
        for number in range(len(sent)):
            step(number)
        return len(sent) / (time.perf_counter() - started)

    pushed = rate(lambda number: way.push(sent[number], f"m{number}"))
    held = (int(client.info("memory")["used_memory"]) - before) / (MESSAGES * IMAGES)
    taken = rate(lambda number: way.take(f"m{number}"))
    if client.llen("bulk"):
        raise RuntimeError("messages were left over: the rate of taking is not one")
    return pushed, taken, held


def main() -> None:
    sent, figures = letters(), {}
    with Stack() as stack:  # appendfsync always
        client = redis.Redis.from_url(stack.broker_url)
        ways = {"lease": Ours(client), "receipts": Receipts(client), "celery": Stock(client)}
        rounds = [{name: measure(way, client, sent) for name, way in ways.items()} for _ in range(ROUNDS)]
    print(f"{MESSAGES} messages of {IMAGES} references, {ROUNDS} rounds in turns, fsync always")
    print(f"{'way':>9} {'push/s':>9} {'take/s':>9} {'bytes per picture':>18}")
    for name in ways:
        pushed, taken, held = (statistics.median(r[name][i] for r in rounds) for i in range(3))
        ratios = [round(statistics.median(r[name][i] / r["celery"][i] for r in rounds), 2) for i in range(2)]
        figures[name] = {
            "push_s": round(pushed),
            "take_s": round(taken),
            "bytes": round(held),
            "ratios": ratios,
        }
        print(f"{name:>9} {pushed:9.0f} {taken:9.0f} {held:18.0f}   to celery's: {ratios}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
