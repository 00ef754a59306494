from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.errors import BrokerUnavailable, QueueFull, ShoalError
from producer.outbox import Address
from tests.unit.producer.conftest import MakeOutbox
from tests.unit.producer.post import Post, ref, wait_until

SOON_S = 5.0


def test_failure_is_told_by_the_future_and_by_the_next_put(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.error = QueueFull("no room")

    sent = outbox.put(ref(1), address)

    assert isinstance(sent.exception(SOON_S), QueueFull)
    wait_until(lambda: outbox.unsent == 0)
    with pytest.raises(QueueFull, match="references not sent: 1; no room"):
        outbox.put(ref(2), address)


def test_failure_is_told_by_the_future_and_by_the_next_flush(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.error = BrokerUnavailable("gone")

    sent = outbox.put(ref(1), address)

    with pytest.raises(BrokerUnavailable, match="references not sent: 1; gone"):
        outbox.flush(SOON_S)
    assert isinstance(sent.exception(0), BrokerUnavailable)


def test_failure_names_its_cause(post: Post, make_outbox: MakeOutbox, address: Address) -> None:
    post.error = BrokerUnavailable("gone")

    failure = make_outbox().put(ref(1), address).exception(SOON_S)

    assert failure is not None
    assert failure.__cause__ is post.error


def test_unforeseen_error_is_told_as_a_shoal_error(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.error = ZeroDivisionError("a bug")

    outbox.put(ref(1), address)

    with pytest.raises(ShoalError, match="references not sent: 1; a bug"):
        outbox.flush(SOON_S)


def test_failure_costs_all_that_waits_and_says_how_many(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()
    sent = [outbox.put(ref(number), address) for number in range(1000)]  # four messages' worth
    post.error = BrokerUnavailable("gone")
    post.release()

    with pytest.raises(BrokerUnavailable, match="references not sent: 1000; gone"):
        outbox.flush(SOON_S)

    assert all(isinstance(future.exception(0), BrokerUnavailable) for future in sent)
    assert outbox.unsent == 0


def test_told_failure_is_not_told_again_and_sending_goes_on(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.error = BrokerUnavailable("gone")
    outbox.put(ref(1), address)
    with pytest.raises(BrokerUnavailable):
        outbox.flush(SOON_S)
    post.error = None

    outbox.put(ref(2), address)
    outbox.flush(SOON_S)

    assert post.image_ids == ["img_2"]


def test_every_flush_under_way_hears_of_a_failure(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()
    outbox.put(ref(1), address)

    with ThreadPoolExecutor(3) as threads:
        flushes = [threads.submit(outbox.flush, SOON_S) for _ in range(3)]
        wait_until(lambda: outbox._hurry == 3)
        post.error = BrokerUnavailable("gone")
        post.release()

    assert all(isinstance(flush.exception(), BrokerUnavailable) for flush in flushes)


def test_flush_hears_of_an_earlier_failure_though_another_caller_was_told(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    failures_before = outbox.failures
    post.error = BrokerUnavailable("gone")
    outbox.put(ref(1), address)
    with pytest.raises(BrokerUnavailable):
        outbox.flush(SOON_S)

    outbox.flush(SOON_S)  # quiet: it has been told
    with pytest.raises(BrokerUnavailable):
        outbox.flush(SOON_S, failures_before)


def test_what_is_on_its_way_cannot_be_cancelled(
    post: Post, make_outbox: MakeOutbox, address: Address
) -> None:
    outbox = make_outbox()
    post.hold()

    sent = outbox.put(ref(1), address)

    assert not sent.cancel()
    post.release()
    assert sent.result(SOON_S)
