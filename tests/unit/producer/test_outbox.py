import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.contracts import MAX_MESSAGE_BYTES, ClassifyImages, ImageRef
from producer.errors import BrokerUnavailable
from producer.outbox import Address, Outbox
from producer.settings import ProducerSettings
from tests.unit.producer.conftest import MakeOutbox
from tests.unit.producer.post import Post, ref, size_on_the_wire

LONG_S = 30.0  # a linger that no test lives to see the end of
SOON_S = 5.0  # and what is far shorter than that


def test_idle_outbox_sends_a_single_reference_at_once(make_outbox: MakeOutbox, address: Address) -> None:
    outbox = make_outbox(linger_s=LONG_S)

    sent = outbox.put(ref(1), address)

    assert sent.result(SOON_S)


def test_future_gives_the_id_of_the_message(post: Post, make_outbox: MakeOutbox, address: Address) -> None:
    message_id = make_outbox().put(ref(1), address).result(SOON_S)

    assert message_id == post.messages[0].message_id


def test_references_put_while_a_message_travels_share_the_next_one(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)

    for number in range(1, 11):
        outbox.put(ref(number), address)
    post.release()
    outbox.flush(SOON_S)

    assert post.sizes == [1, 10]


def test_busy_outbox_lingers_for_company_and_flush_ends_the_lingering(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox(linger_s=LONG_S)
    outbox.put(ref(0), address).result(SOON_S)

    for number in range(1, 6):
        outbox.put(ref(number), address)
    time.sleep(0.1)
    lingering = outbox.unsent
    outbox.flush(SOON_S)

    assert lingering == 5
    assert post.sizes == [1, 5]


def test_full_message_does_not_linger(make_outbox: MakeOutbox, address: Address) -> None:
    outbox = make_outbox(linger_s=LONG_S)
    outbox.put(ref(0), address).result(SOON_S)

    sent = [outbox.put(ref(number), address) for number in range(256)]

    assert len({future.result(SOON_S) for future in sent}) == 1


def test_message_holds_at_most_256_references(post: Post, make_outbox: MakeOutbox, address: Address) -> None:
    outbox = make_outbox(linger_s=LONG_S)
    post.hold()

    for number in range(601):
        outbox.put(ref(number), address)
    post.release()
    outbox.flush(SOON_S)

    assert max(post.sizes) == 256
    assert sum(post.sizes) == 601


@pytest.mark.parametrize("letter", ["a", "é", "😀", "\x01", '"'], ids=["a", "e", "emoji", "control", "quote"])
def test_message_with_the_longest_keys_stays_under_64_kib(
    letter: str, post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    key = letter * (1024 // len(letter.encode()))
    post.hold()

    for number in range(300):
        outbox.put(ref(number, key), address)
    post.release()
    outbox.flush(SOON_S)

    assert max(size_on_the_wire(message) for message in post.messages) <= MAX_MESSAGE_BYTES
    assert post.image_ids == [f"img_{number}" for number in range(300)]


def test_largest_allowed_reference_fits_a_message(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    largest = ImageRef(
        image_id="i" * 128, bucket="b" * 128, key="\x01" * 1024, version_id="v" * 1024, etag="\\" * 1024
    )

    make_outbox().put(largest, address).result(SOON_S)

    assert size_on_the_wire(post.messages[0]) <= MAX_MESSAGE_BYTES


def test_references_leave_in_the_order_of_their_arrival_and_addresses_never_mix(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    other = Address("cats", "bulk", "job_1")
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)

    for number, where in enumerate([address, address, other, address], start=1):
        outbox.put(ref(number), where)
    post.release()
    outbox.flush(SOON_S)

    sent_to = [Address(message.collection, message.lane, message.job_id) for message in post.messages]
    assert sent_to == [address, address, other, address]
    assert post.sizes == [1, 2, 1, 1]
    assert post.image_ids == [f"img_{number}" for number in range(5)]


def test_full_buffer_refuses_after_its_time_out(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox(max_buffered=5, timeout_s=0.05)
    post.hold()
    outbox.put(ref(0), address)
    assert post.reached.wait(SOON_S)
    for number in range(1, 6):
        outbox.put(ref(number), address)

    with pytest.raises(BrokerUnavailable, match="5 references wait"):
        outbox.put(ref(6), address)

    post.release()
    outbox.flush(SOON_S)
    assert post.image_ids == [f"img_{number}" for number in range(6)]


def test_put_blocked_by_a_full_buffer_goes_on_when_there_is_room(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox(max_buffered=2)
    post.hold()

    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(lambda: [outbox.put(ref(number), address) for number in range(9)])
        time.sleep(0.1)
        blocked = not putting.done()
        post.release()
        for sent in putting.result(SOON_S):
            sent.result(SOON_S)

    assert blocked
    assert len(post.image_ids) == 9


def test_many_threads_lose_nothing_send_nothing_twice_and_keep_their_order(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox(max_buffered=100)

    def put_200(thread: int) -> None:
        for number in range(200):
            outbox.put(ref(thread * 1000 + number), address)
        outbox.flush(SOON_S)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put_200, range(8)))

    sent = [int(image_id.removeprefix("img_")) for image_id in post.image_ids]
    for thread in range(8):
        assert [number for number in sent if number // 1000 == thread] == [
            thread * 1000 + number for number in range(200)
        ]
    assert len(sent) == 1600


def test_flush_is_not_prolonged_by_what_others_put_meanwhile(address: Address) -> None:
    def publish(messages: Sequence[ClassifyImages]) -> list[None]:
        if go_on.is_set():
            outbox.put(ref(2), address)  # there is always one more
        return [None] * len(messages)

    go_on = threading.Event()
    go_on.set()
    outbox = Outbox(publish, ProducerSettings(linger_s=0))
    sent = outbox.put(ref(1), address)

    try:
        outbox.flush(SOON_S)
    finally:
        go_on.clear()
        outbox.stop()

    assert sent.done()


def test_flush_that_runs_out_of_time_says_how_many_are_unsent(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()
    for number in range(3):
        outbox.put(ref(number), address)

    with pytest.raises(BrokerUnavailable, match=r"^references not sent within 0.05 s: 3"):
        outbox.flush(0.05)


def test_stop_sends_what_is_left_and_ends_the_thread(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox(linger_s=LONG_S)
    outbox.put(ref(0), address).result(SOON_S)
    outbox.put(ref(1), address)

    outbox.stop()

    assert post.image_ids == ["img_0", "img_1"]
    assert "shoal-outbox" not in {thread.name for thread in threading.enumerate()}


def test_stopped_outbox_takes_nothing(make_outbox: MakeOutbox, address: Address) -> None:
    outbox = make_outbox()
    outbox.stop()

    with pytest.raises(RuntimeError, match="closed"):
        outbox.put(ref(1), address)
