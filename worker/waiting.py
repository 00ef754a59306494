"""What waits in the lanes, and since when: whoever adds and removes workers looks at the age."""

import contextlib
from datetime import UTC, datetime
from typing import NamedTuple

from producer.broker import BULK, CLASSIFY, INTERACTIVE, broker_errors, redis_client
from producer.contracts import Lane
from producer.envelope import Unreadable, read
from producer.settings import BrokerSettings


class Waiting(NamedTuple):
    """One lane: its messages, and for how many seconds the one that is next has waited."""

    messages: int
    oldest_s: float


def waiting(broker: BrokerSettings) -> dict[Lane, Waiting]:
    """Look at the lanes, over a connection of its own; what was sent to the plain queue is interactive.

    The message that is next has waited longest, but for those that were given back. Its age is by its
    sender's clock, and 0 where it does not say when it was sent.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    queues = [(INTERACTIVE, INTERACTIVE), (INTERACTIVE, broker.plain_queue), (BULK, BULK)]
    named = [(lane, queue) for lane, queue in queues if queue]
    with broker_errors(broker), contextlib.closing(redis_client(broker, text=False)) as client:
        pipe = client.pipeline(transaction=False)
        for _, queue in named:
            pipe.llen(queue)
            pipe.lindex(queue, -1)
        answers = pipe.execute()
    now = datetime.now(UTC)
    found = {lane: Waiting(0, 0.0) for lane, _ in named}
    for (lane, _), messages, following in zip(named, answers[::2], answers[1::2], strict=True):
        before = found[lane]
        age_s = _age_s(following, now) if following else 0.0
        found[lane] = Waiting(before.messages + messages, max(before.oldest_s, age_s))
    return found


def _age_s(raw: bytes, now: datetime) -> float:
    try:
        sent_at = datetime.fromisoformat(read(raw, (CLASSIFY,)).fields["submitted_at"])
        return max(0.0, (now - sent_at).total_seconds())
    except (Unreadable, KeyError, TypeError, ValueError):  # anything may lie there
        return 0.0
