import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from kombu.connection import Connection
from kombu.message import Message
from kombu.messaging import Consumer

from console.stack import Stack
from producer import BrokerSettings, Producer
from producer.broker import CLASSIFY, celery_app, classify_queues, lane_depths, redis_client
from producer.contracts import MAX_MESSAGE_BYTES, Lane
from producer.errors import BrokerUnavailable, QueueFull
from producer.leases import Leases
from tests.integration.lane_contents import SOON_S, bodies, envelopes, messages, ref, refs


def test_acknowledged_reference_lies_in_redis_as_the_designs_message(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    with Producer(broker) as producer:
        message_id = producer.submit(ref(7), collection="cats", job_id="job_1").result(SOON_S)

        (envelope,) = envelopes(wire, "interactive")

    args, kwargs, _ = json.loads(envelope["body"])
    assert envelope["content-type"] == "application/json"
    assert (envelope["headers"]["task"], envelope["headers"]["id"]) == ("shoal.classify.v1", message_id)
    assert args == []
    assert isinstance(kwargs.pop("submitted_at"), str)
    assert kwargs == {
        "schema_version": 1,
        "message_id": message_id,
        "collection": "cats",
        "lane": "interactive",
        "job_id": "job_1",
        "reclassify": False,
        "images": [{"image_id": "img_7", "bucket": "uploads", "key": "a/7.jpg", "allow_training": True}],
    }


def test_submit_many_gathers_2000_references_into_messages_of_up_to_256(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    with Producer(broker) as producer:
        count = producer.submit_many(refs(2000))

        found = messages(wire, "interactive")

    assert count == 2000
    assert [image.image_id for message in found for image in message.images] == [
        f"img_{number}" for number in range(2000)
    ]
    assert max(len(message.images) for message in found) <= 256
    assert len(found) <= 30  # 8 when nothing else runs; 2,000 if nothing were gathered
    assert max(len(body) for body in bodies(wire, "interactive")) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_message_waits_in_the_queue_named_for_its_lane(
    lane: Lane, broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    with Producer(broker) as producer:
        producer.submit(ref(1), lane=lane).result(SOON_S)

    waiting = {name: wire.llen(name) for name in ("interactive", "bulk", "celery")}
    assert waiting == {"interactive": 0, "bulk": 0, "celery": 0, lane: 1}
    assert messages(wire, lane)[0].lane == lane


def test_interactive_message_overtakes_a_bulk_backlog(broker: BrokerSettings) -> None:
    def take(body: Any, message: Message) -> None:
        taken.append(body[1]["lane"])
        message.ack()

    taken: list[str] = []
    queues = classify_queues(broker)
    leases = Leases(redis_client(broker, text=False), 60)
    app = celery_app("test", broker, queues, leases=leases, tasks=(CLASSIFY,))
    with Producer(broker) as producer, contextlib.closing(leases), app:
        for lane in ("bulk", "bulk", "bulk", "interactive", "interactive"):
            producer.submit(ref(1), lane=lane).result(SOON_S)

        with app.connection_for_read() as connection:
            consume(connection, queues, take, until=lambda: len(taken) == 3)
            producer.submit(ref(2), lane="interactive").result(SOON_S)
            consume(connection, queues, take, until=lambda: len(taken) == 6)

    assert taken == ["interactive", "interactive", "bulk", "interactive", "bulk", "bulk"]


def consume(connection: Connection, queues: list[Any], take: Any, *, until: Any) -> None:
    """Take messages one at a time in the order in which a worker's connection gives them."""
    with connection.channel() as channel:
        consumer = Consumer(channel, queues, callbacks=[take], accept=["json"], prefetch_count=1)
        with consumer:
            while not until():
                connection.drain_events(timeout=SOON_S)


def test_lane_at_its_depth_limit_refuses(broker: BrokerSettings, wire: "redis.Redis") -> None:
    small = broker.model_copy(update={"max_queue_depth": 2})
    with Producer(small) as producer:
        for number in range(2):
            producer.submit(ref(number), lane="bulk").result(SOON_S)

    with Producer(small) as producer:  # a known depth may be a second old
        with pytest.raises(QueueFull, match="2 messages wait in the bulk lane, the limit is 2"):
            producer.submit(ref(2), lane="bulk")
        assert producer.submit(ref(2), lane="interactive").result(SOON_S)

    assert wire.llen("bulk") == 2


def test_lane_takes_again_when_its_backlog_has_gone(broker: BrokerSettings, wire: "redis.Redis") -> None:
    with Producer(broker.model_copy(update={"max_queue_depth": 1})) as producer:
        producer.submit(ref(1)).result(SOON_S)
        producer._depths_read_at -= 2
        with pytest.raises(QueueFull):
            producer.submit(ref(2))

        wire.delete("interactive")
        producer._depths_read_at -= 2

        assert producer.submit(ref(2)).result(SOON_S)


def test_depth_of_the_interactive_lane_includes_the_plain_queue(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    wire.lpush("celery", "one")
    wire.lpush("interactive", "two")
    wire.lpush("bulk", "three")

    assert lane_depths(wire, broker) == {"interactive": 2, "bulk": 1}


def test_many_threads_lose_nothing_and_send_nothing_twice(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    def submit_250(thread: int) -> None:
        assert producer.submit_many(ref(1000 * thread + number) for number in range(250)) == 250

    with Producer(broker) as producer, ThreadPoolExecutor(8) as threads:
        list(threads.map(submit_250, range(8)))

    found = [image.image_id for message in messages(wire, "interactive") for image in message.images]
    assert sorted(found) == sorted(f"img_{1000 * t + n}" for t in range(8) for n in range(250))


def test_wrong_password_is_reported_as_that_and_not_shown(stack: Stack) -> None:
    wrong = stack.broker_url.replace("redis://:", "redis://:wrong")

    with Producer(wrong) as producer, pytest.raises(BrokerUnavailable, match="password") as caught:
        producer.submit(ref(1))

    assert "wrong" not in str(caught.value)


def test_absent_broker_is_reported_at_once() -> None:
    started = time.monotonic()

    with Producer("redis://127.0.0.1:1/0") as producer, pytest.raises(BrokerUnavailable, match="refused"):
        producer.submit(ref(1))

    assert time.monotonic() - started < 5  # half its time-out
