import contextlib
import subprocess
import sys
import time

import pytest

from producer import Producer
from producer.errors import BrokerUnavailable, QueueFull
from producer.settings import ProducerSettings
from tests.integration.lane_contents import SOON_S, ref, refs
from tests.integration.own_broker import Broker

pytestmark = pytest.mark.usefixtures("stack")  # skips where there is no Valkey

IMPATIENT = ProducerSettings(timeout_s=1.0)
LINGERING = ProducerSettings(timeout_s=1.0, linger_s=60.0)
SCRIPT = """
import os, sys
from producer import ImageRef, Producer
from producer.settings import ProducerSettings
def ref(number): return ImageRef(image_id=f"img_{number}", bucket="uploads", key="k")
producer = Producer(sys.argv[1], ProducerSettings(timeout_s=2, linger_s=60))
producer.submit(ref(0)).result(10)
for number in range(1, 11):
    producer.submit(ref(number))
"""


def start_script(url: str, ending: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + ending, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_hanging_broker_is_reported_by_submit_in_bounded_time(valkey: Broker) -> None:
    with Producer(valkey.url, IMPATIENT) as producer:
        started = time.monotonic()

        with valkey.hanging(), pytest.raises(BrokerUnavailable, match="does not answer"):
            producer.submit(ref(1))

        assert time.monotonic() - started < 5


def test_broker_that_hangs_after_submit_is_reported_by_flush_and_future_in_bounded_time(
    valkey: Broker,
) -> None:
    with Producer(valkey.url, LINGERING) as producer:
        producer.submit(ref(0)).result(SOON_S)
        sent = producer.submit(ref(1))
        started = time.monotonic()

        with valkey.hanging(), pytest.raises(BrokerUnavailable, match="references not sent: 1;"):
            producer.flush()

        assert time.monotonic() - started < 5
        assert isinstance(sent.exception(SOON_S), BrokerUnavailable)


def test_broker_killed_between_submit_and_flush_is_reported_with_the_number_lost(valkey: Broker) -> None:
    with Producer(valkey.url, LINGERING) as producer:
        producer.submit(ref(0)).result(SOON_S)
        sent = [producer.submit(ref(number)) for number in range(1, 101)]
        started = time.monotonic()

        valkey.server.kill()
        with pytest.raises(BrokerUnavailable, match="references not sent: 100;"):
            producer.flush()

        assert time.monotonic() - started < 5
        assert all(isinstance(future.exception(0), BrokerUnavailable) for future in sent)


def test_broker_killed_and_back_within_the_time_out_costs_nothing(valkey: Broker) -> None:
    with Producer(valkey.url, ProducerSettings(linger_s=60)) as producer:
        producer.submit(ref(0)).result(SOON_S)
        for number in range(1, 101):
            producer.submit(ref(number))

        valkey.server.kill()
        valkey.server.start()
        producer.flush()

    valkey.server.wait_ready()
    assert valkey.image_ids() == [f"img_{number}" for number in range(101)]


def test_submit_works_again_after_a_failure_was_told(valkey: Broker) -> None:
    with Producer(valkey.url, LINGERING) as producer:
        producer.submit(ref(0)).result(SOON_S)
        producer.submit(ref(1))
        valkey.server.kill()
        with pytest.raises(BrokerUnavailable):
            producer.flush()

        valkey.server.start()
        valkey.server.wait_ready()
        producer.submit_many([ref(2)])

    assert valkey.image_ids() == ["img_0", "img_2"]


def test_broker_at_its_memory_limit_is_reported_as_a_full_queue(valkey: Broker) -> None:
    with valkey.client() as client:
        client.config_set("maxmemory", "1mb")

    producer = Producer(valkey.url)
    started = time.monotonic()
    with pytest.raises(QueueFull, match=r"^references not sent: \d+;.*memory limit"):
        producer.submit_many(refs(300))

    assert time.monotonic() - started < 5
    with contextlib.suppress(QueueFull):  # tells of what was put while the first failure was being told
        producer.close()


def test_closed_producer_leaves_no_connection(valkey: Broker) -> None:
    with Producer(valkey.url) as producer:
        producer.submit_many(refs(10))

    with valkey.client() as client:
        assert len(client.client_list()) == 1  # our own


def test_closing_one_producer_leaves_another_one_of_the_same_broker_working(valkey: Broker) -> None:
    with Producer(valkey.url) as other:
        other.submit(ref(0)).result(SOON_S)
        with Producer(valkey.url) as producer:
            producer.submit(ref(1)).result(SOON_S)

        other.submit(ref(2)).result(SOON_S)

    assert valkey.image_ids() == ["img_0", "img_1", "img_2"]


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise ValueError"])
def test_program_that_ends_without_closing_delivers_all_it_submitted(ending: str, valkey: Broker) -> None:
    program = start_script(valkey.url, ending)

    program.communicate(timeout=SOON_S)

    assert valkey.image_ids() == [f"img_{number}" for number in range(11)]


def test_program_that_ends_while_the_broker_is_gone_says_how_many_it_could_not_send(valkey: Broker) -> None:
    program = start_script(valkey.url, "print('submitted', flush=True); sys.stdin.read()")
    assert program.stdout is not None
    assert program.stdout.readline() == "submitted\n"

    valkey.server.kill()
    _, errors = program.communicate(timeout=SOON_S)

    assert "references not sent: 10;" in errors


def test_forked_children_and_their_parent_each_send_their_own(valkey: Broker) -> None:
    ending = """
children = []
for child in (1, 2):
    children.append(os.fork())
    if children[-1] == 0:
        assert producer.submit_many(ref(1000 * child + number) for number in range(300)) == 300
        sys.exit()  # runs atexit, as a forked web server's worker does
producer.flush()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    program = start_script(valkey.url, ending)

    _, errors = program.communicate(timeout=2 * SOON_S)

    assert errors == ""
    children = {f"img_{1000 * child + number}" for child in (1, 2) for number in range(300)}
    found = valkey.image_ids()
    assert len(found) == len(set(found))
    assert set(found) == children | {f"img_{number}" for number in range(11)}
