import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from kombu.connection import Connection
from kombu.message import Message
from kombu.messaging import Consumer
from pydantic import SecretStr

from console.stack import Stack
from producer import BrokerSettings, ClassifyImages, ImageRef, Producer
from producer.broker import CLASSIFY, celery_app, classify_queues, lane_depths, redis_client
from producer.contracts import MAX_MESSAGE_BYTES, Lane
from producer.envelope import read
from producer.errors import BrokerUnavailable, InvalidReference, QueueFull
from producer.leases import Leases

SOON_S = 10.0


@pytest.fixture
def broker(stack: Stack) -> Iterator[BrokerSettings]:
    """A database of this test's own, empty before and after."""
    settings = BrokerSettings(url=SecretStr(stack.broker_url.removesuffix("/0") + "/5"))
    with contextlib.closing(redis_client(settings)) as client:
        client.flushdb()
        yield settings
        client.flushdb()


@pytest.fixture
def wire(broker: BrokerSettings) -> "Iterator[redis.Redis]":
    with contextlib.closing(redis_client(broker)) as client:
        yield client


def ref(number: int) -> ImageRef:
    return ImageRef(image_id=f"img_{number}", bucket="uploads", key=f"a/{number}.jpg")


def refs(count: int) -> Iterator[ImageRef]:
    return (ref(number) for number in range(count))


def envelopes(wire: "redis.Redis", queue: str) -> list[dict[str, Any]]:
    """What waits in a queue, oldest first, as kombu wrote it."""
    return [json.loads(str(text)) for text in reversed(wire.lrange(queue, 0, -1))]


def bodies(wire: "redis.Redis", queue: str) -> list[bytes]:
    return [envelope["body"].encode() for envelope in envelopes(wire, queue)]


def messages(wire: "redis.Redis", queue: str) -> list[ClassifyImages]:
    return [ClassifyImages.model_validate(json.loads(body)[1]) for body in bodies(wire, queue)]


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

    assert time.monotonic() - started < 2


def japanese(count: int) -> ClassifyImages:
    """A message whose keys take 3 bytes a letter, and 6 where JSON is escaped."""
    images = (
        ImageRef(image_id=f"img_{n}", bucket="uploads", key=f"{n}/" + "\u732b" * 50) for n in range(count)
    )
    return ClassifyImages(images=tuple(images))


def test_a_whole_message_is_sent_as_it_is_though_celery_would_write_it_longer(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    message = japanese(240)
    assert len(message.model_dump_json(ensure_ascii=True)) > MAX_MESSAGE_BYTES

    with Producer(broker) as producer:
        producer.send(message)

    assert messages(wire, "interactive") == [message]
    (raw,) = wire.lrange("interactive", 0, -1)
    assert read(str(raw).encode(), (CLASSIFY,)).task_id == message.message_id


def test_a_whole_message_that_no_worker_would_read_is_refused(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    images = (ImageRef(image_id=f"img_{n}", bucket="uploads", key="k" * 500) for n in range(256))

    with Producer(broker) as producer, pytest.raises(InvalidReference, match="the limit is"):
        producer.send(ClassifyImages(images=tuple(images)))

    assert wire.llen("interactive") == 0


def test_a_message_full_of_quotes_is_not_too_long_to_be_read(
    broker: BrokerSettings, wire: "redis.Redis"
) -> None:
    hard = [ImageRef(image_id=f"img_{i}", bucket="uploads", key='\\"' * 500) for i in range(100)]
    with Producer(broker) as producer:
        producer.submit_many(hard)

    letters = [read(str(raw).encode(), (CLASSIFY,)) for raw in wire.lrange("interactive", 0, -1)]

    assert sum(len(letter.fields["images"]) for letter in letters) == 100
