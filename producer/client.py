"""The client that an upload platform holds: takes references one by one, sends them by the hundred.

submit -> outbox (gathers up to 256 into a message) -> sender (many messages in one write) -> future
"""

import atexit
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, get_args

from pydantic import SecretStr, TypeAdapter, ValidationError

from producer.broker import lane_depths, redis_client
from producer.contracts import ClassifyImages, ImageRef, Lane, Name
from producer.errors import BrokerUnavailable, InvalidReference, QueueFull, ShoalError
from producer.outbox import Address, Outbox
from producer.sender import Sender
from producer.settings import BrokerSettings, ProducerSettings

log = logging.getLogger(__name__)

DEPTH_CHECK_S: Final = 1.0  # how old the known queue depth may be
ADDRESS: Final = TypeAdapter(tuple[Name, Lane, Name | None])


class Producer:
    """Submits references to uploaded pictures. Thread-safe; one per process is enough.

    What `submit` took is sent, or reported: by its future, and by the next `submit`, `flush` or
    `close`, which raises. Nothing is dropped silently, at exit neither.
    """

    def __init__(
        self, broker: BrokerSettings | str | None = None, settings: ProducerSettings | None = None
    ) -> None:
        """Connect lazily: the first submit opens the connection.

        Args:
            broker: settings, or just the broker's URL.
            settings: linger, buffer and time-out.
        """
        if isinstance(broker, str):
            broker = BrokerSettings(url=SecretStr(broker))
        self._settings = settings or ProducerSettings()
        self._broker = _no_slower_than(self._settings.timeout_s, broker or BrokerSettings())
        self._redis = redis_client(self._broker)
        self._sender = Sender(self._redis, self._broker, self._settings.timeout_s)
        self._outbox = Outbox(self._sender.send, self._settings)
        self._depths: dict[Lane, int] = {}
        self._depths_read_at = float("-inf")
        self._addresses: dict[tuple[str, str, str | None], Address] = {}
        self._closed = False
        atexit.register(self._close_at_exit)
        _producers.add(self)

    def submit(
        self,
        ref: ImageRef,
        *,
        collection: str = "default",
        lane: Lane = "interactive",
        job_id: str | None = None,
        expires_s: float | None = None,
        reclassify: bool = False,
    ) -> "Future[str]":
        """Hand in one reference; returns at once.

        Args:
            ref: where the picture lies; it must be there already.
            collection: in which it is classified.
            lane: `bulk` waits for `interactive`.
            job_id: of the job that it is part of.
            expires_s: not started later than about this many seconds from now (rounded up to the next
                second), it gets a result `failed` with `message.expired` instead.
            reclassify: renews a result; a picture that can no longer be read keeps the one it has.

        Returns:
            A future of the message id, resolved when Redis has acknowledged the message.

        Raises:
            InvalidReference: the collection, lane or job id breaks the contract.
            QueueFull: the lane is past `max_queue_depth`; this reference was not taken.
            BrokerUnavailable: Redis does not answer, or earlier references could not be sent.
        """
        address = self._address(collection, lane, job_id)._replace(reclassify=reclassify)
        if expires_s is not None:
            address = address._replace(expires_at=_whole_second(time.time() + expires_s))
        self._refuse_when_full(lane)
        return self._outbox.put(ref, address)

    def submit_many(
        self,
        refs: Iterable[ImageRef],
        *,
        collection: str = "default",
        lane: Lane = "interactive",
        job_id: str | None = None,
        reclassify: bool = False,
    ) -> int:
        """Hand in many references, streaming; returns how many, once all are in Redis.

        Raises:
            InvalidReference, QueueFull, BrokerUnavailable: as `submit`; what was sent before stays sent.
        """
        count, failures = 0, self._outbox.failures
        for ref in refs:
            self.submit(ref, collection=collection, lane=lane, job_id=job_id, reclassify=reclassify)
            count += 1
        self._outbox.flush(2 * self._settings.timeout_s, failures)
        return count

    def send(self, message: ClassifyImages) -> None:
        """Put one whole message into Redis as it is, its id too; returns when Redis has acknowledged it.

        Raises:
            InvalidReference: no worker would read it, it is too long.
            QueueFull, BrokerUnavailable: it is not queued.
        """
        (outcome,) = self.send_many([message])
        if outcome is not None:
            raise outcome

    def send_many(self, messages: Sequence[ClassifyImages]) -> list[ShoalError | None]:
        """Put whole messages into Redis as they are, in this order: far faster than one by one.

        Returns:
            For each None once Redis has acknowledged it, or the error with which `send` would not have
            queued it. QueueFull in the middle says nothing about those after it.
        """
        try:
            for lane in {message.lane for message in messages}:
                self._refuse_when_full(lane)
        except (QueueFull, BrokerUnavailable) as error:
            return [error] * len(messages)
        return list(self._sender.send(messages))

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything taken so far is in Redis.

        Args:
            timeout_s: by default twice the settings' `timeout_s`.

        Raises:
            BrokerUnavailable: something could not be sent, or time ran out; says how many.
            QueueFull: Redis is at its memory limit.
        """
        self._outbox.flush(2 * self._settings.timeout_s if timeout_s is None else timeout_s)

    def close(self) -> None:
        """Flush, then stop. A closed producer takes nothing more; closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._close_at_exit)
        try:
            self.flush()
        finally:
            self._outbox.stop()
            self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except ShoalError:
            log.exception("references were not sent before exit")

    def _address(self, collection: str, lane: Lane, job_id: str | None) -> Address:
        key = (collection, lane, job_id)
        address = self._addresses.get(key)
        if address is None:
            try:
                address = Address(*ADDRESS.validate_python(key))
            except ValidationError as error:
                raise InvalidReference(
                    f"not a collection, lane and job id: {key}: names are up to 128 letters, digits and "
                    f". _ ~ -, the first a letter or digit; the lane is {' or '.join(get_args(Lane))}"
                ) from error
            self._addresses = {key: address}  # only the latest; another thread may replace it at any time
        return address

    def _refuse_when_full(self, lane: Lane) -> None:
        now = time.monotonic()
        if now - self._depths_read_at > DEPTH_CHECK_S:
            self._depths = lane_depths(self._redis, self._broker)
            self._depths_read_at = now
        depth, limit = self._depths[lane], self._broker.max_queue_depth
        if depth >= limit:
            raise QueueFull(
                f"{depth} messages wait in the {lane} lane, the limit is {limit}: add workers, or slow down"
            )


def _whole_second(moment_s: float) -> datetime:
    """Round up, so that what is submitted within a second can travel together."""
    return datetime.fromtimestamp(math.ceil(moment_s), tz=UTC)


def _no_slower_than(timeout_s: float, broker: BrokerSettings) -> BrokerSettings:
    """Shorten the socket's time limits: one hung command must not outlast the producer's own time-out."""
    return broker.model_copy(
        update={
            "connect_timeout_s": min(broker.connect_timeout_s, timeout_s),
            "socket_timeout_s": min(broker.socket_timeout_s, timeout_s),
        }
    )


_producers: "weakref.WeakSet[Producer]" = weakref.WeakSet()


def _unlock_pools() -> None:
    """Give a child pools that it can use: redis-py waits there for a lock whose holder was not forked."""
    for producer in list(_producers):
        producer._redis.connection_pool._lock = threading.RLock()  # noqa: SLF001 - there is no other way


os.register_at_fork(after_in_child=_unlock_pools)
