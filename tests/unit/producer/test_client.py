import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from producer import client
from producer.broker import CLASSIFY
from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef, Lane
from producer.errors import BrokerUnavailable, InvalidReference, QueueFull, ShoalError
from producer.outbox import Address
from producer.settings import BrokerSettings, ProducerSettings
from producer.signing import Keyring
from tests.unit.producer.courier import Courier
from tests.unit.producer.post import ref, wait_until

NOWHERE = SecretStr("redis://127.0.0.1:1/0")
SOON_S = 5.0


@pytest.fixture
def producer(courier: Courier) -> Iterator[Producer]:
    """A producer without a network, whose lanes are empty."""
    producer = Producer(BrokerSettings(url=NOWHERE, max_queue_depth=10), ProducerSettings(timeout_s=0.3))
    tell_depths(producer, interactive=0, bulk=0)
    yield producer
    producer.close()


def tell_depths(producer: Producer, *, interactive: int, bulk: int) -> None:
    producer._depths, producer._depths_read_at = {"interactive": interactive, "bulk": bulk}, math.inf


def test_message_goes_to_the_queue_of_its_lane_under_the_tasks_name_and_its_own_id(
    producer: Producer, courier: Courier
) -> None:
    message_id = producer.submit(ref(1), collection="cats", lane="bulk", job_id="job_1").result(SOON_S)

    lane, letter = courier.asked[0]
    assert (letter.task, lane, letter.task_id) == (CLASSIFY, "bulk", message_id)
    message = ClassifyImages.model_validate(letter.fields)
    assert (message.collection, message.lane, message.job_id) == ("cats", "bulk", "job_1")
    assert message.images == (ref(1),)


def test_message_is_signed_where_there_are_keys(courier: Courier) -> None:
    keys = (SecretStr("k:" + "x" * 32),)
    courier.failures = [RedisConnectionError("reset")]
    with Producer(BrokerSettings(url=NOWHERE, signing_keys=keys)) as producer:
        tell_depths(producer, interactive=0, bulk=0)

        producer.submit(ref(1)).result(SOON_S)

    assert len(courier.asked) == 2
    for _, letter in courier.asked:
        assert letter.fields["signature"].startswith("v1:k:")
        assert Keyring(keys).refusal(CLASSIFY, letter.fields) is None


@pytest.mark.parametrize(
    "address",
    [{"collection": "a/b"}, {"collection": ""}, {"lane": "express"}, {"job_id": "../x"}, {"job_id": ""}],
)
def test_bad_address_is_refused_and_nothing_is_sent(
    address: dict[str, Any], producer: Producer, courier: Courier
) -> None:
    with pytest.raises(
        InvalidReference, match=r"^not a collection, lane and job id: .* interactive or bulk$"
    ):
        producer.submit(ref(1), **address)

    producer.flush()
    assert courier.asked == []


def test_full_lane_refuses_and_the_other_lane_goes_on(producer: Producer) -> None:
    tell_depths(producer, interactive=9, bulk=10)

    with pytest.raises(QueueFull, match="10 messages wait in the bulk lane, the limit is 10"):
        producer.submit(ref(1), lane="bulk")

    assert producer.submit(ref(1), lane="interactive").result(SOON_S)


def test_depth_is_not_asked_for_at_every_submit(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def depths(*_: object) -> dict[Lane, int]:
        asked.append(1)
        return {"interactive": 0, "bulk": 0}

    monkeypatch.setattr(client, "lane_depths", depths)
    producer._depths_read_at = -math.inf

    producer.submit_many(ref(number) for number in range(100))

    assert len(asked) == 1


def test_message_is_tried_again_under_the_same_id(producer: Producer, courier: Courier) -> None:
    courier.failures = [RedisConnectionError("reset"), RedisConnectionError("refused")]

    message_id = producer.submit(ref(1)).result(SOON_S)

    assert [letter.task_id for _, letter in courier.asked] == [message_id] * 3


def test_broker_that_stays_away_is_reported_after_the_time_out(producer: Producer, courier: Courier) -> None:
    courier.failures = [RedisConnectionError("refused")] * 1000
    started = time.monotonic()

    producer.submit(ref(1))

    with pytest.raises(BrokerUnavailable, match=r"references not sent: 1; .*refused"):
        producer.flush()
    assert 0.3 <= time.monotonic() - started < SOON_S


def test_broker_out_of_memory_is_reported_at_once(producer: Producer, courier: Courier) -> None:
    courier.failures = [OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")]

    failure = producer.submit(ref(1)).exception(SOON_S)

    assert isinstance(failure, QueueFull)
    assert len(courier.asked) == 1
    with pytest.raises(QueueFull):
        producer.flush()


def test_submit_many_says_how_many_it_took_from_a_stream(producer: Producer, courier: Courier) -> None:
    count = producer.submit_many(ref(number) for number in range(600))

    sent = [image["image_id"] for _, letter in courier.asked for image in letter.fields["images"]]
    assert count == 600
    assert sent == [f"img_{number}" for number in range(600)]


def test_submit_many_reports_its_loss_though_another_caller_was_told_first(
    producer: Producer, courier: Courier
) -> None:
    def refs() -> Iterator[ImageRef]:
        yield ref(1)
        wait_until(lambda: producer._outbox.failures == 1)
        with pytest.raises(QueueFull):  # another caller
            producer.submit(ref(2))
        yield ref(3)

    courier.failures = [OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")]

    with pytest.raises(QueueFull, match="references not sent: 1;"):
        producer.submit_many(refs())


def test_threads_that_submit_to_different_collections_do_not_disturb_each_other(
    producer: Producer, courier: Courier
) -> None:
    def submit_50(collection: str) -> None:
        for number in range(50):
            producer.submit(ref(number), collection=collection)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(submit_50, ["a", "b", "c", "d"]))
    producer.flush(SOON_S)

    counts = dict.fromkeys("abcd", 0)
    for _, letter in courier.asked:
        counts[letter.fields["collection"]] += len(letter.fields["images"])
    assert counts == {"a": 50, "b": 50, "c": 50, "d": 50}


def test_address_is_right_though_another_thread_replaces_the_known_one(producer: Producer) -> None:
    class Replaced(dict[Any, Any]):
        def __contains__(self, key: object) -> bool:  # the other thread strikes between look and read
            self.clear()
            return True

    producer._addresses = Replaced()

    assert producer._address("cats", "bulk", None) == Address("cats", "bulk", None)


def test_leaving_the_block_sends_what_was_taken(courier: Courier) -> None:
    with Producer(NOWHERE.get_secret_value(), ProducerSettings(linger_s=30)) as producer:
        tell_depths(producer, interactive=0, bulk=0)
        producer.submit(ref(1)).result(SOON_S)
        producer.submit(ref(2))

    assert len(courier.asked) == 2


def test_leaving_the_block_reports_what_could_not_be_sent(producer: Producer, courier: Courier) -> None:
    courier.failures = [RedisConnectionError("refused")] * 1000

    with pytest.raises(BrokerUnavailable, match="references not sent"), producer:
        producer.submit(ref(1))


def test_closed_producer_takes_nothing_and_closing_again_does_nothing(producer: Producer) -> None:
    producer.close()
    producer.close()

    with pytest.raises(RuntimeError, match="closed"):
        producer.submit(ref(1))


def test_producer_that_was_never_used_needs_no_broker() -> None:
    with Producer(NOWHERE.get_secret_value()):
        pass


@pytest.mark.parametrize("use", [lambda p: p.submit(ref(1)), lambda p: p.submit_many([ref(1)])])
def test_absent_broker_is_reported_by_what_needs_it(use: Callable[[Producer], object]) -> None:
    with Producer(NOWHERE.get_secret_value()) as producer, pytest.raises(ShoalError, match=r"127\.0\.0\.1:1"):
        use(producer)
