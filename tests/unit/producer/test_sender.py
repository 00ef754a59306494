import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from producer.broker import redis_client
from producer.contracts import ClassifyImages
from producer.errors import BrokerUnavailable, InvalidReference, QueueFull
from producer.sender import Sender
from producer.settings import BrokerSettings
from tests.unit.producer.courier import Courier
from tests.unit.producer.post import ref

NOWHERE = BrokerSettings(url=SecretStr("redis://127.0.0.1:1/0"))


def full() -> OutOfMemoryError:
    return OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")


@pytest.fixture
def sender(courier: Courier) -> Sender:
    """A sender without a network."""
    return Sender(redis_client(NOWHERE), NOWHERE, 0.3)


def messages(count: int, images: int = 1, key: str = "k") -> list[ClassifyImages]:
    return [
        ClassifyImages(lane="bulk", images=tuple(ref(n * images + i, key) for i in range(images)))
        for n in range(count)
    ]


def test_many_messages_go_in_one_write_in_their_order(courier: Courier, sender: Sender) -> None:
    sent = messages(100)

    assert list(sender.send(sent)) == [None] * 100

    assert courier.sizes == [100]
    assert [letter.task_id for _, letter in courier.asked] == [message.message_id for message in sent]
    assert {lane for lane, _ in courier.asked} == {"bulk"}


def test_one_write_is_bounded_in_messages_and_in_bytes(courier: Courier, sender: Sender) -> None:
    assert list(sender.send(messages(300))) == [None] * 300
    assert courier.sizes == [128, 128, 44]

    courier.writes.clear()
    assert list(sender.send(messages(100, 50, "k" * 900))) == [None] * 100
    assert max(sum(len(raw) for _, raw in write) for write in courier.writes) < (1 << 20) + 64 * 1024
    assert 3 <= len(courier.writes) <= 6


def test_first_answers_are_told_before_later_messages_are_sent(courier: Courier, sender: Sender) -> None:
    outcomes = sender.send(messages(200))

    next(outcomes)

    assert courier.sizes == [128]


def test_what_has_no_answer_is_sent_again_under_the_same_ids(courier: Courier, sender: Sender) -> None:
    courier.failures = [RedisConnectionError("reset"), RedisConnectionError("refused")]

    assert list(sender.send(messages(5))) == [None] * 5

    assert courier.sizes == [5, 5, 5]
    assert courier.writes[0] == courier.writes[1] == courier.writes[2]


def test_full_broker_refuses_each_message_by_itself(courier: Courier, sender: Sender) -> None:
    sent = messages(5)
    courier.refusals = {sent[3].message_id: [full(), full()]}  # as a whole, then by itself

    outcomes = list(sender.send(sent))

    assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [QueueFull, type(None)]
    assert courier.sizes == [5, 5]


def test_refusal_that_may_pass_is_tried_again_alone(courier: Courier, sender: Sender) -> None:
    sent = messages(3)
    courier.refusals = {
        sent[0].message_id: [full()],  # so that each has an answer of its own
        sent[1].message_id: [ResponseError("MISCONF Errors writing to the AOF file")],
    }

    assert list(sender.send(sent)) == [None] * 3

    assert [len(write) for write in courier.writes] == [3, 3, 1]
    assert courier.asked[-1][1].task_id == sent[1].message_id


def test_broker_that_stays_away_is_waited_for_once(courier: Courier, sender: Sender) -> None:
    courier.failures = [RedisConnectionError("refused")] * 1000

    outcomes = list(sender.send(messages(1000)))

    assert {type(outcome) for outcome in outcomes} == {BrokerUnavailable}
    assert len(outcomes) == 1000
    assert len({courier.writes[0][0], *(write[0] for write in courier.writes)}) == 1  # no later bag was tried


def test_message_that_no_worker_would_read_is_refused_and_its_neighbours_are_sent(
    courier: Courier, sender: Sender
) -> None:
    good, long = messages(2), messages(1, 256, "k" * 500)

    outcomes = list(sender.send([good[0], *long, good[1]]))

    assert [type(outcome) for outcome in outcomes] == [type(None), InvalidReference, type(None)]
    assert "the limit is" in str(outcomes[1])
    assert courier.sizes == [2]
