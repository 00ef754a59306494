"""A worker's deliveries without Celery, for tests on a real Valkey."""

from typing import Any

import redis
from pydantic import SecretStr

from model_store.dead_letters import DeadLetter, DeadLetters
from model_store.object_store import MemoryStore
from producer.broker import CLASSIFY, redis_client
from producer.contracts import ClassifyImages, ErrorCode, ImageRef
from producer.envelope import Letter, Unreadable, envelope, read
from producer.leases import DUE, Lease, Leases
from producer.settings import BrokerSettings
from producer.signing import Keyring
from worker.attempts import Attempts
from worker.deliveries import Deliveries
from worker.metrics import Metrics
from worker.settings import WorkerSettings


class WorkerDied(BaseException):
    """Stands for SIGKILL: nobody catches it, nothing is cleaned up."""


class Classifier:
    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.poison: str | None = None
        self.done: list[ClassifyImages] = []
        self.attempts: list[int] = []
        self.failed: list[tuple[str, ErrorCode]] = []
        self.failing: list[ImageRef] = []

    def classify(self, message: ClassifyImages, attempt: int) -> list[ImageRef]:
        self.attempts.append(attempt)
        if self.poison in {ref.image_id for ref in message.images}:
            raise WorkerDied
        if self.error is not None:
            raise self.error
        self.done.append(message)
        return self.failing

    def fail(self, message: ClassifyImages, attempt: int, code: ErrorCode, detail: str) -> None:
        self.failed += [(ref.image_id, code) for ref in message.images]


class Office:
    """A worker's deliveries without Celery: takes a message and handles it."""

    def __init__(self, broker: BrokerSettings, client: "redis.Redis", *keys: SecretStr) -> None:
        self.client = client
        self.classifier = Classifier()
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.leases = Leases(redis_client(broker, text=False), 60)
        self.attempts = Attempts(redis_client(broker, text=False))
        self.deliveries = Deliveries(
            leases=self.leases,
            attempts=self.attempts,
            classifier=self.classifier,
            dead_letters=lambda name: DeadLetters(self.store, name),
            settings=WorkerSettings(witness_after_s=0),
            keyring=Keyring(keys),
            metrics=self.metrics,
        )

    def put(self, fields: dict[str, Any], **options: Any) -> None:
        self.client.lpush("bulk", envelope(CLASSIFY, "task-1", fields, **options))

    def handle(self) -> bool:
        """Take and handle the next message, if one waits; a death leaves its lease to run out."""
        name = self.leases.new_name()
        answer = self.client.execute_command(*self.leases.reserve_command(name, ["bulk"]))  # type: ignore[no-untyped-call]
        if not answer:
            return False
        letter: Letter | Unreadable
        try:
            letter = read(answer[1], [CLASSIFY])
        except Unreadable as error:
            letter = error
        self.leases.hold(Lease(name, "bulk", answer[1], letter))
        try:
            self.deliveries.handle(name)
        except WorkerDied:
            self.leases.give_back(name)  # as when its lease runs out
        else:
            self.leases.release(name)  # as Celery does when the task returns
        return True

    def dead(self, collection: str = "default") -> list[DeadLetter]:
        return list(DeadLetters(self.store, collection).list())

    def pause_s(self) -> float:
        """How far ahead the one message given back is due."""
        ((_, due_ms),) = self.client.zrange(DUE, 0, -1, withscores=True)  # type: ignore[str-unpack]
        return float(due_ms) / 1000 - self.client.time()[0]

    def nothing_left(self) -> bool:
        return self.client.keys() == []


def fields(*names: str, **more: Any) -> dict[str, Any]:
    return {"images": [{"image_id": n, "bucket": "uploads", "key": n} for n in names or ("a",)], **more}


def due_now(office: Office) -> None:
    """End the pauses of all that was given back."""
    for lease in office.client.zrange(DUE, 0, -1):
        office.client.zadd(DUE, {lease: 0})  # type: ignore[type-var]
    office.leases.keep()
