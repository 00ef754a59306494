"""What a worker leaves in a lane of which it holds as much as it may."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu.message import Message
from kombu.messaging import Consumer

from producer import BrokerSettings, ClassifyImages, Producer
from producer.broker import CLASSIFY, celery_app, classify_queues
from producer.contracts import Lane
from producer.leases import BELL, Leases
from tests.integration.lane_contents import ref

SOON_S, SHORT_S = 10.0, 1.0


class Taker:
    """Takes what a worker would be given, and keeps it until told."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.held: list[tuple[str, Message]] = []

    def __call__(self, body: Any, message: Message) -> None:
        self.held.append((body[1]["lane"], message))

    def take(self, count: int) -> list[str]:
        """Take so many, or as many as come in a short while; gives the lanes of all that is held."""
        with contextlib.suppress(TimeoutError):
            while len(self.held) < count:
                self._connection.drain_events(timeout=SHORT_S)
        return [lane for lane, _ in self.held]


@pytest.fixture
def leases(lease_client: "redis.Redis") -> Leases:
    return Leases(lease_client, 60)


@pytest.fixture
def taker(lease_broker: BrokerSettings, leases: Leases) -> Iterator[Taker]:
    queues = classify_queues(lease_broker)
    app = celery_app("test", lease_broker, queues, leases=leases, tasks=(CLASSIFY,), most_held={"bulk": 2})
    with app, app.connection_for_read() as connection, connection.channel() as channel:
        taker = Taker(connection)
        with Consumer(channel, queues, callbacks=[taker], accept=["json"], prefetch_count=4):
            yield taker


def send(broker: BrokerSettings, *lanes: Lane) -> None:
    with Producer(broker) as producer:
        messages = [ClassifyImages(lane=lane, images=(ref(n),)) for n, lane in enumerate(lanes)]
        assert producer.send_many(messages) == [None] * len(lanes)


def test_no_more_of_a_lane_is_held_than_may_be_and_the_others_go_on(
    lease_broker: BrokerSettings, taker: Taker
) -> None:
    send(lease_broker, "bulk", "bulk", "bulk", "bulk")
    assert taker.take(3) == ["bulk", "bulk"]

    send(lease_broker, "interactive")

    assert taker.take(3) == ["bulk", "bulk", "interactive"]


def test_what_is_done_makes_room_and_wakes_its_own_worker(
    lease_broker: BrokerSettings, lease_client: "redis.Redis", leases: Leases, taker: Taker
) -> None:
    send(lease_broker, "bulk", "bulk", "bulk")
    assert taker.take(3) == ["bulk", "bulk"]
    lease_client.delete(BELL)

    taker.held[0][1].ack()

    assert lease_client.llen(f"{BELL}:{leases.holder}") == 1
    assert 0 < lease_client.ttl(f"{BELL}:{leases.holder}") <= 60
    assert taker.take(3) == ["bulk", "bulk", "bulk"]
