"""Many messages in one write, against a Valkey that is killed, full, or refuses some of them."""

import threading

import pytest

from producer import ClassifyImages, Producer
from producer.contracts import Lane
from producer.errors import BrokerUnavailable, QueueFull
from producer.leases import BELL, BELL_RINGS
from producer.settings import ProducerSettings
from tests.integration.lane_contents import ref
from tests.integration.own_broker import Broker
from tests.system.running_platform import wait_until

pytestmark = pytest.mark.usefixtures("stack")  # skips where there is no Valkey

IMPATIENT = ProducerSettings(timeout_s=1.0)


def letters(count: int, lane: Lane = "bulk", images: int = 1) -> list[ClassifyImages]:
    return [
        ClassifyImages(lane=lane, images=tuple(ref(n * images + i) for i in range(images)))
        for n in range(count)
    ]


def test_many_messages_lie_in_their_lanes_in_order_and_wake_a_worker_each(valkey: Broker) -> None:
    sent = [*letters(300), *letters(5, "interactive")]

    with Producer(valkey.url) as producer:
        assert producer.send_many(sent) == [None] * 305

    for lane in ("bulk", "interactive"):
        ids = [message.message_id for message in sent if message.lane == lane]
        assert [letter.task_id for letter in valkey.letters(lane)] == ids
    with valkey.client() as client:
        assert client.llen(BELL) == BELL_RINGS


def test_broker_killed_in_the_middle_of_a_write_loses_nothing_that_it_acknowledged(valkey: Broker) -> None:
    def send() -> None:
        while not failed:
            sent = letters(500)
            for message, outcome in zip(sent, producer.send_many(sent), strict=True):
                (acknowledged if outcome is None else failed).append(message.message_id)
                kinds.add(type(outcome))

    acknowledged: list[str] = []
    failed: list[str] = []
    kinds: set[type] = set()
    with Producer(valkey.url, IMPATIENT) as producer:
        sending = threading.Thread(target=send)
        sending.start()
        wait_until(lambda: len(acknowledged) >= 2000, 30, "messages")
        valkey.server.kill()
        sending.join(30)

    valkey.server.start()
    valkey.server.wait_ready()
    left = {letter.task_id for letter in valkey.letters("bulk")}
    assert kinds == {type(None), BrokerUnavailable}
    assert set(acknowledged) - left == set()


def test_broker_killed_and_back_within_the_time_out_has_all_in_their_order(valkey: Broker) -> None:
    sent = letters(2000)

    with Producer(valkey.url, ProducerSettings(timeout_s=20)) as producer:
        outcomes = producer._sender.send(sent)
        assert next(outcomes) is None
        valkey.server.kill()
        valkey.server.start()
        assert list(outcomes) == [None] * 1999

    valkey.server.wait_ready()
    found = [letter.task_id for letter in valkey.letters("bulk")]
    assert list(dict.fromkeys(found)) == [message.message_id for message in sent]


def test_one_push_that_is_refused_fails_alone(valkey: Broker) -> None:
    with valkey.client() as client:
        client.set("bulk", "no list")

    sent = letters(10, "interactive")
    sent[5:5] = letters(1, "bulk")

    with Producer(valkey.url, IMPATIENT) as producer:
        outcomes = list(producer._sender.send(sent))  # the depth of such a lane cannot be asked for

    assert [i for i, outcome in enumerate(outcomes) if outcome is not None] == [5]
    assert isinstance(outcomes[5], BrokerUnavailable)
    assert [letter.task_id for letter in valkey.letters("interactive")] == [
        message.message_id for message in sent if message.lane == "interactive"
    ]


def test_full_broker_keeps_exactly_what_it_acknowledged(valkey: Broker) -> None:
    with valkey.client() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + 1_500_000)
    sent = letters(400, images=100)  # of 12 KB each

    with Producer(valkey.url, IMPATIENT) as producer:
        outcomes = producer.send_many(sent)

    assert {type(outcome) for outcome in outcomes} == {type(None), QueueFull}
    taken = [message.message_id for message, outcome in zip(sent, outcomes, strict=True) if outcome is None]
    assert [letter.task_id for letter in valkey.letters("bulk")] == taken
