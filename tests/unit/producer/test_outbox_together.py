import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.contracts import ClassifyImages
from producer.errors import QueueFull
from producer.outbox import Address, Outbox
from producer.settings import ProducerSettings
from tests.unit.producer.conftest import MakeOutbox
from tests.unit.producer.post import Post, ref

LONG_S = 30.0
SOON_S = 5.0


def test_what_gathered_meanwhile_goes_together_as_several_messages(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)

    for number in range(1, 601):
        outbox.put(ref(number), address)
    post.release()
    outbox.flush(SOON_S)

    assert post.sent_together == [1, 3]
    assert post.sizes == [1, 256, 256, 88]
    assert post.image_ids == [f"img_{number}" for number in range(601)]


def test_what_travels_at_once_is_bounded(post: Post, make_outbox: MakeOutbox, address: Address) -> None:
    outbox = make_outbox()
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)

    for number in range(9000):
        outbox.put(ref(number), address)
    post.release()
    outbox.flush(SOON_S)

    assert post.sent_together == [1, 16, 16, 4]  # of 256 references each, but for the last


def test_message_that_fails_takes_nothing_along_that_was_sent_with_it(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.refused = {"img_257": QueueFull("no room")}
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)
    sent = [outbox.put(ref(number), address) for number in range(1, 601)]  # three messages
    post.release()

    with pytest.raises(QueueFull, match="references not sent: 256; no room"):
        outbox.flush(SOON_S)

    refused = [type(future.exception(SOON_S)) for future in sent]
    assert refused == [type(None)] * 256 + [QueueFull] * 256 + [type(None)] * 88
    assert post.sizes == [1, 256, 88]


def test_future_is_resolved_by_its_own_answer_and_not_when_all_are_answered(address: Address) -> None:
    def publish(messages: Sequence[ClassifyImages]) -> Iterator[None]:
        for message in messages:
            if message.collection == "slow":
                assert answer.wait(20)
            yield None

    answer = threading.Event()
    outbox = Outbox(publish, ProducerSettings(linger_s=LONG_S))
    outbox.put(ref(0), address).result(SOON_S)

    quick, slow = outbox.put(ref(1), address), outbox.put(ref(2), address._replace(collection="slow"))
    with ThreadPoolExecutor(1) as thread:
        flush = thread.submit(outbox.flush, SOON_S)
        quick_sent, slow_sent = quick.result(SOON_S), slow.done()
        answer.set()
        flush.result()
    outbox.stop()

    assert quick_sent
    assert not slow_sent
    assert slow.result(0) != quick_sent
