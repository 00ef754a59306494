"""What was submitted and is not yet in Redis: a bounded buffer and the one thread that empties it.

Gathers by never waiting long: an idle outbox sends a single reference at once; while messages are on their
way the next ones gather, under load they linger a few ms more for company, and then all go together.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Final, NamedTuple

from producer.contracts import MAX_IMAGES_PER_MESSAGE, MAX_MESSAGE_BYTES, ClassifyImages, ImageRef, Lane
from producer.errors import BrokerUnavailable, QueueFull, ShoalError
from producer.settings import ProducerSettings

ROOM_FOR_ENVELOPE = 4096  # bytes of a message that are not references
MAX_IN_FLIGHT: Final = 4096  # references, and one message more: their callers wait for them together

Publish = Callable[[Sequence[ClassifyImages]], Iterable[ShoalError | None]]


class Address(NamedTuple):
    """What the references of one message have in common."""

    collection: str
    lane: Lane
    job_id: str | None
    expires_at: datetime | None = None
    reclassify: bool = False


class _Waiting(NamedTuple):
    ref: ImageRef
    address: Address
    size_bytes: int
    sent: "Future[str]"


class Outbox:
    """Sends references in the order of their arrival; thread-safe, and usable after a fork.

    A failure costs its own message and all that waits at that moment: behind a broker that is gone, each
    message would wait for a time-out of its own. It is told to the futures of what it cost, to every `flush`
    under way, and to whoever calls `put` or `flush` next. A forked child starts empty: the parent sends what
    was put there.
    """

    def __init__(self, publish: Publish, settings: ProducerSettings) -> None:
        """Start nothing yet: the thread comes with the first `put`.

        `publish` yields for each message, in order, None once it is acknowledged, or what keeps it out.
        """
        self._publish = publish
        self._settings = settings
        self._closed = False
        self._start_afresh()
        _outboxes.add(self)

    def _start_afresh(self) -> None:
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # there is room, or something was sent
        self._work = threading.Condition(lock)  # for the sender: waking it at every `put` costs half the time
        self._waiting: deque[_Waiting] = deque()
        self._in_flight = 0
        self._taken = 0
        self._failure: ShoalError | None = None  # the latest
        self._failures = 0
        self._failures_told = 0
        self._hurry = 0  # callers waiting in flush: no lingering then
        self._sender: threading.Thread | None = None

    def put(self, ref: ImageRef, address: Address) -> "Future[str]":
        """Take one reference; blocks while the buffer is full, at most `timeout_s`.

        Raises:
            BrokerUnavailable, QueueFull: earlier references could not be sent; this one was not taken.
        """
        entry = _Waiting(ref, address, len(ref.model_dump_json(ensure_ascii=True)) + 1, Future())
        entry.sent.set_running_or_notify_cancel()  # what is on its way cannot be cancelled
        with self._changed:
            self._wait_for_room()
            self._waiting.append(entry)
            self._taken += 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._run, name="shoal-outbox", daemon=True)
                self._sender.start()
            if len(self._waiting) == 1 or self._enough():
                self._work.notify()
        return entry.sent

    def flush(self, timeout_s: float, failures_before: int | None = None) -> None:
        """Wait until everything taken so far is sent; what others put meanwhile does not prolong it.

        Args:
            timeout_s: at most.
            failures_before: count a failure since then, even if somebody else has already been told of it.

        Raises:
            BrokerUnavailable, QueueFull: something could not be sent, or time ran out; says how many.
        """
        with self._changed:
            goal, told = self._taken, self._failures_told
            known = told if failures_before is None else min(told, failures_before)
            self._hurry += 1
            self._work.notify()
            try:
                self._changed.wait_for(
                    lambda: self._taken - self.unsent >= goal or self._failures > known, timeout_s
                )
            finally:
                self._hurry -= 1
            self._raise_failure(known)
            late = goal - (self._taken - self.unsent)
            if late > 0:
                raise BrokerUnavailable(f"references not sent within {timeout_s:g} s: {late}")

    def stop(self) -> None:
        """Let the thread end; whatever is still unsent gets one more try."""
        with self._changed:
            self._closed = True
            self._work.notify()
            self._changed.notify_all()
        if self._sender is not None:
            self._sender.join(self._settings.timeout_s)

    @property
    def failures(self) -> int:
        """Count the times that something could not be sent."""
        return self._failures

    @property
    def unsent(self) -> int:
        """Count the references that Redis has not acknowledged."""
        return len(self._waiting) + self._in_flight

    def _wait_for_room(self) -> None:
        if self._closed:
            raise RuntimeError("this producer is closed")
        self._raise_failure(self._failures_told)
        limit = self._settings.max_buffered
        self._changed.wait_for(lambda: len(self._waiting) < limit, self._settings.timeout_s)
        self._raise_failure(self._failures_told)
        if len(self._waiting) >= limit:
            raise BrokerUnavailable(f"{limit} references wait to be sent, and the broker does not take them")

    def _raise_failure(self, known: int) -> None:
        if self._failure is not None and self._failures > known:
            self._failures_told = self._failures
            raise self._failure

    def _run(self) -> None:
        last_sent = float("-inf")
        while True:
            with self._changed:
                self._work.wait_for(lambda: bool(self._waiting) or self._closed)
                if not self._waiting:
                    return
                linger_s = last_sent + self._settings.linger_s - time.monotonic()
                if linger_s > 0:
                    self._work.wait_for(self._enough, linger_s)
                batches = self._next_batches()
                self._in_flight = sum(map(len, batches))
                self._changed.notify_all()
            self._send(batches)
            last_sent = time.monotonic()
            with self._changed:
                self._in_flight = 0
                self._changed.notify_all()

    def _enough(self) -> bool:
        return len(self._waiting) >= MAX_IMAGES_PER_MESSAGE or self._hurry > 0 or self._closed

    def _next_batches(self) -> list[list[_Waiting]]:
        """Take what waits, message by message: never empty."""
        batches = [self._next_batch()]
        room = MAX_IN_FLIGHT - len(batches[0])
        while self._waiting and room > 0:
            batches.append(self._next_batch())
            room -= len(batches[-1])
        return batches

    def _next_batch(self) -> list[_Waiting]:
        """Take the longest run of one address that fits a message: never empty, order kept."""
        address = self._waiting[0].address
        room = MAX_MESSAGE_BYTES - ROOM_FOR_ENVELOPE
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MAX_IMAGES_PER_MESSAGE and self._waiting[0].address == address:
            room -= self._waiting[0].size_bytes
            if room < 0:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _send(self, batches: list[list[_Waiting]]) -> None:
        failed: list[tuple[list[_Waiting], Exception]] = []
        unsent = deque(batches)
        try:
            messages = [_message(batch) for batch in batches]
            for message, outcome in zip(messages, self._publish(messages), strict=True):
                batch = unsent.popleft()
                if outcome is not None:
                    failed.append((batch, outcome))
                    continue
                for entry in batch:
                    entry.sent.set_result(message.message_id)
        except Exception as error:  # noqa: BLE001 - the thread must live on, and the callers must hear of it
            failed += [(batch, error) for batch in unsent]
        if failed:
            self._give_up(failed)

    def _give_up(self, failed: list[tuple[list[_Waiting], Exception]]) -> None:
        with self._changed:
            failed.append((list(self._waiting), failed[0][1]))
            self._waiting.clear()
            self._in_flight = count = sum(len(batch) for batch, _ in failed)
        for batch, error in failed:
            failure = _as_failure(error, count)
            for entry in batch:
                entry.sent.set_exception(failure)
        with self._changed:
            self._failure = _as_failure(failed[0][1], count)
            self._failures += 1


def _message(batch: list[_Waiting]) -> ClassifyImages:
    return ClassifyImages(**batch[0].address._asdict(), images=tuple(entry.ref for entry in batch))


def _as_failure(error: Exception, count: int) -> ShoalError:
    kind = type(error) if isinstance(error, BrokerUnavailable | QueueFull) else ShoalError
    failure = kind(f"references not sent: {count}; {error}")
    failure.__cause__ = error
    return failure


_outboxes: "weakref.WeakSet[Outbox]" = weakref.WeakSet()


def _start_all_afresh() -> None:
    for outbox in list(_outboxes):
        outbox._start_afresh()  # noqa: SLF001 - beside its noun


# At the fork, not at the child's first `put`: its threads would race, its `flush` wait for the parent's.
os.register_at_fork(after_in_child=_start_all_afresh)
