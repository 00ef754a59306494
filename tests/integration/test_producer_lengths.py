import pytest
import redis

from producer import BrokerSettings, ClassifyImages, ImageRef, Producer
from producer.broker import CLASSIFY
from producer.contracts import MAX_MESSAGE_BYTES
from producer.envelope import read
from producer.errors import InvalidReference
from tests.integration.lane_contents import messages


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
