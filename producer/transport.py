"""Celery's way to Redis, with a lease in place of its pop-then-book: see `leases`.

kombu's channel asks for messages and reads the answer in two steps, `_brpop_start` and `_brpop_read`, since
its event loop waits in between. Idle, it blocks on the bell; a ring, or `LOOK_S`, makes it look into the
lanes. Whoever pushes with kombu rings; whoever pushes by hand need not.

A worker that holds as many bulk messages as it may asks for interactive ones only, and listens to a bell of
its own as well, which it rings itself when one of them is done.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from queue import Empty
from time import monotonic
from typing import Any, Final

import redis
from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.json import dumps

from producer.envelope import Letter, Unreadable, read
from producer.leases import BELL, BELL_RINGS, Lease, Leases

LOOK_S: Final = 0.25
LAST_ANSWER_S: Final = 2.0  # to wait, at the end, for what was asked
OWN_BELL_S: Final = 60  # that nobody listens to any more is gone after this long


def push(
    client: "redis.Redis", letters: Sequence[tuple[str, bytes | str]], *, whole: bool = True
) -> list[Exception | None]:
    """Put messages at the ends of their lanes, and wake idle workers: one write, one wait for the disk.

    Args:
        client: of the broker.
        letters: lane and message of each; those of a lane stay in this order.
        whole: all of them or none, if Redis refuses one beforehand, since it is full or may not be written
            to; without it each has an answer of its own, at a wait for the disk for every few.

    Returns:
        For each None once Redis has acknowledged it, or the error that it answered.

    Raises:
        redis.exceptions.RedisError: whether they are there is not known; or they were refused as a whole.
    """
    with client.pipeline(transaction=whole) as pipe:
        for lane, message in letters:
            pipe.lpush(lane, message)
        pipe.lpush(BELL, *[1] * min(len(letters), BELL_RINGS))
        pipe.ltrim(BELL, 0, BELL_RINGS - 1)
        answers = pipe.execute(raise_on_error=False)
    return [answer if isinstance(answer, Exception) else None for answer in answers[: len(letters)]]


class QoS(stock.QoS):
    """Acknowledges by lease."""

    def append(self, message: virtual.Message, delivery_tag: str) -> None:
        """Note a message as delivered; it was booked when it was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Be done with it."""
        virtual.QoS.ack(self, delivery_tag)
        self.channel.leases.release(delivery_tag)
        self.channel.made_room()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Give it back. What Celery would drop comes again as unreadable, and is kept as such."""
        virtual.QoS.ack(self, delivery_tag)
        if requeue:
            self.channel.leases.give_back(delivery_tag)
        else:
            self.channel.deliver_unreadable(delivery_tag, "Celery refused it")

    def restore_unacked(self, client: object = None) -> None:  # noqa: ARG002 - kombu's signature
        """Give back what was not begun; what is in work keeps its lease and is acknowledged by it."""
        self.channel.leases.give_back_waiting()
        self._delivered.clear()

    def restore_visible(self, *args: object, **kwargs: object) -> None:
        """Do nothing: the leases see to it."""


class Channel(stock.Channel):
    """Takes messages under a lease, and rings the bell when it sends one."""

    QoS = QoS
    body_encoding = None  # type: ignore[assignment] # JSON in JSON: a fifth smaller than kombu's base64, and read as well
    leases: Leases  # of whoever consumes
    tasks: tuple[str, ...] = ()  # that are done here
    most_held: Mapping[str, int] = {}  # by lane; no limit if it is not named
    from_transport_options = (  # type: ignore[assignment]
        *stock.Channel.from_transport_options,
        "leases",
        "tasks",
        "most_held",
    )

    _asked: str | None = None  # name of the lease that was asked for; None while the bell is listened to
    _more = True  # the last look found something: look again at once
    _held_back = False  # some lane was not asked, since too much of it is held

    def _put(self, queue: str, message: Mapping[str, Any], **_: object) -> None:
        with self.conn_or_acquire() as client:
            (refusal,) = push(client, [(queue, dumps(message))])
        if refusal is not None:
            raise refusal

    def _queue_bind(self, *_: object) -> None:
        """Write nothing: the default exchange leads to a queue by its name, also when Redis is full."""

    def maybe_refresh_binding_expiry(self) -> None:
        """Do nothing: there are no bindings."""

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 - kombu's signature
        connection = self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()  # type: ignore[assignment]
        if self._more:
            self._asked = self.leases.new_name()
            connection.send_command(*self.leases.reserve_command(self._asked, self._lanes()))
        else:
            self._asked = None
            bells = (BELL, self._own_bell) if self.most_held else (BELL,)
            connection.send_command("BRPOP", *bells, LOOK_S)

    def _brpop_read(self, **_: object) -> bool:
        try:
            try:
                name, answer = self._asked, self._answer("EVAL" if self._asked else "BRPOP")
                if name is None and not self._closing:
                    name = self.leases.new_name()
                    self._command(*self.leases.reserve_command(name, self._lanes()))
                    answer = self._answer("EVAL")
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
        finally:
            self._in_poll = None  # type: ignore[assignment]
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]
        self._more = bool(name and answer)
        if name is None or not answer:
            raise Empty
        lease = self._read(name, *answer)
        self.leases.hold(lease)
        if self._closing:
            self.leases.give_back(lease.name)
            raise Empty
        self._deliver(lease)
        return True

    def made_room(self) -> None:
        """Stop waiting, where it was for a message to be done."""
        if self._held_back and self.connection is not None:  # of a connection that was lost: another waits
            with (
                contextlib.suppress(redis.exceptions.RedisError, OSError),  # it looks again in LOOK_S
                self.conn_or_acquire() as client,
                client.pipeline(transaction=True) as pipe,
            ):
                pipe.lpush(self._own_bell, 1).ltrim(self._own_bell, 0, 0)
                pipe.expire(self._own_bell, OWN_BELL_S).execute()

    @property
    def _own_bell(self) -> str:
        return f"{BELL}:{self.leases.holder}"

    def _lanes(self) -> list[str]:
        """List the lanes of which more may be held; never none."""
        held = Counter(lease.lane for lease in self.leases)
        lanes = [lane for lane in self.active_queues if held[lane] < self.most_held.get(lane, held[lane] + 1)]
        self._held_back = len(lanes) < len(self.active_queues)
        return lanes

    def deliver_unreadable(self, delivery_tag: str, why: str) -> None:
        """Hand on a message in hand once more, as one that cannot be read."""
        for lease in self.leases:
            if lease.name == delivery_tag:
                unreadable = dataclasses.replace(lease, letter=Unreadable(why))
                self.leases.hold(unreadable)
                self._deliver(unreadable)

    def _read(self, name: str, lane: bytes, raw: bytes) -> Lease:
        letter: Letter | Unreadable
        try:
            letter = read(raw, self.tasks)
        except Unreadable as error:
            letter = error
        return Lease(name, lane.decode(), raw, letter)

    def _deliver(self, lease: Lease) -> None:
        letter = lease.letter
        if isinstance(letter, Unreadable):  # the first task keeps what cannot be read
            letter = Letter(task=self.tasks[0], task_id=lease.name, args=[], fields={})
        if letter.not_before is not None:
            pause_s = (letter.not_before - datetime.now(UTC)).total_seconds()
            if pause_s > 0:
                self.leases.give_back(lease.name, pause_s)
                return
        payload = letter.payload(lease.name, lease.lane)
        self.connection._deliver(payload, lease.lane)  # noqa: SLF001 - as kombu's own channel does

    def _command(self, *arguments: str | int) -> None:
        self.client.connection.send_command(*arguments)

    def _answer(self, command: str) -> Any:  # noqa: ANN401 - as Redis answers
        connection = self.client.connection
        if self._closing and not connection.can_read(LAST_ANSWER_S):
            raise TimeoutError("the broker does not answer; what it may have handed out comes again")
        return self.client.parse_response(connection, command)


class Transport(stock.Transport):
    """kombu's Redis transport with leases: `broker_transport = "producer.transport:Transport"`."""

    Channel = Channel
