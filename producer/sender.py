"""Puts messages into Redis, many in one write: one wait for the disk serves them all.

```
messages ─▶ letters ─▶ up to MAX_LETTERS of them, about MAX_BYTES ─▶ one transaction ─▶ acknowledged
                            ├ Redis is full and refuses: each has an answer of its own
                            └ no answer: all again, under the same ids, until the time-out
```
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import redis

from producer.broker import CLASSIFY, broker_errors
from producer.contracts import ClassifyImages
from producer.envelope import Unreadable, envelope
from producer.errors import BrokerUnavailable, InvalidReference, QueueFull, ShoalError
from producer.settings import BrokerSettings
from producer.transport import push

MAX_LETTERS: Final = 128  # in one write
MAX_BYTES: Final = 1 << 20  # and one letter more; others' commands wait while Redis works on them
RETRY_PAUSE_S: Final = 0.1

_Packed = tuple[str, bytes]  # lane, message as it lies there


class Sender:
    """Sends to one broker. Thread-safe."""

    def __init__(self, client: "redis.Redis", broker: BrokerSettings, timeout_s: float) -> None:
        """Use a client of that broker; give up on what has no answer after `timeout_s`, retries included."""
        self._client = client
        self._broker = broker
        self._timeout_s = timeout_s
        self._keyring = broker.keyring()

    def send(self, messages: Iterable[ClassifyImages]) -> Iterator[ShoalError | None]:
        """Send in this order, while the answers are asked for.

        Yields:
            For each None once Redis has acknowledged it, or why it is not queued: InvalidReference, it is too
            long to be read; QueueFull; BrokerUnavailable, after which nothing more is tried.
        """
        gone: BrokerUnavailable | None = None
        for bag in self._bags(messages):
            outcomes = self._sent(bag) if gone is None else [gone] * len(bag)
            gone = next((o for o in outcomes if isinstance(o, BrokerUnavailable)), None)
            yield from outcomes

    def _bags(self, messages: Iterable[ClassifyImages]) -> Iterator[list[_Packed | InvalidReference]]:
        bag: list[_Packed | InvalidReference] = []
        size_bytes = 0
        for message in messages:
            packed = self._packed(message)
            bag.append(packed)
            size_bytes += 0 if isinstance(packed, InvalidReference) else len(packed[1])
            if len(bag) == MAX_LETTERS or size_bytes >= MAX_BYTES:
                yield bag
                bag, size_bytes = [], 0
        if bag:
            yield bag

    def _packed(self, message: ClassifyImages) -> _Packed | InvalidReference:
        fields: dict[str, Any] = message.model_dump(mode="json", exclude_none=True)
        try:
            letter = envelope(CLASSIFY, message.message_id, self._keyring.sign(CLASSIFY, fields))
        except Unreadable as error:
            refusal = InvalidReference(f"message {message.message_id} is not sent: {error}")
            refusal.__cause__ = error
            return refusal
        return message.lane, letter

    def _sent(self, bag: Sequence[_Packed | InvalidReference]) -> list[ShoalError | None]:
        """Send, and try again until the time-out what has no answer."""
        outcomes: list[ShoalError | None] = [p if isinstance(p, InvalidReference) else None for p in bag]
        left = {i: packed for i, packed in enumerate(bag) if not isinstance(packed, InvalidReference)}
        give_up_at = time.monotonic() + self._timeout_s
        while left:
            answers = self._answers(list(left.values()))
            for position, outcome in zip(list(left), answers, strict=True):
                outcomes[position] = outcome
                if not isinstance(outcome, BrokerUnavailable):
                    del left[position]
            if time.monotonic() > give_up_at:
                break
            if left:
                time.sleep(RETRY_PAUSE_S)
        return outcomes

    def _answers(self, letters: Sequence[_Packed]) -> list[ShoalError | None]:
        try:
            with broker_errors(self._broker):
                try:
                    answers = push(self._client, letters)
                except redis.exceptions.OutOfMemoryError:
                    if len(letters) == 1:
                        raise
                    answers = push(self._client, letters, whole=False)  # some may fit
        except (BrokerUnavailable, QueueFull) as error:
            return [error] * len(letters)
        return [None if answer is None else self._translated(answer) for answer in answers]

    def _translated(self, answer: Exception) -> ShoalError:
        try:
            with broker_errors(self._broker):
                raise answer
        except ShoalError as error:
            return error
