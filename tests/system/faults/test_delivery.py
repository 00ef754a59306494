"""Messages delivered twice, late, out of order, by a wrong clock, or when the broker is full."""

import contextlib
import random
import time
from collections.abc import Iterator

import pytest
import redis

from producer.broker import CLASSIFY, redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages
from producer.envelope import envelope
from producer.errors import QueueFull
from producer.leases import LEASED
from tests.system.faults.fleet import LEASE_S, Fleet, fleet
from tests.system.faults.load import Load
from tests.system.faults.report import FaultReport
from tests.system.running_platform import Platform, wait_until
from worker.settings import WorkerSettings

PATIENCE_S = 120.0


@pytest.fixture
def client(platform: Platform) -> "Iterator[redis.Redis]":
    with contextlib.closing(redis_client(platform.broker, text=False)) as connected:
        yield connected
        connected.config_set("maxmemory", 0)


def letters(load: Load, messages: int, images: int) -> list[bytes]:
    """Write messages as they lie in a lane, and count their pictures as submitted."""
    written = []
    for _ in range(messages):
        refs = tuple(load.refs(images))
        message = ClassifyImages(collection=load.platform.collection, images=refs)
        fields = message.model_dump(mode="json", exclude_none=True)
        written.append(envelope(CLASSIFY, message.message_id, fields))
        for ref in refs:
            load.note(ref)
    return written


def settled(report: FaultReport, load: Load) -> None:
    report.say()
    assert (report.lost, report.wrong) == (0, 0), report
    assert load.dead_letters() == []


def test_duplicates_out_of_order_leave_one_result_and_one_row_each(
    platform: Platform, client: "redis.Redis"
) -> None:
    load, rng = Load.on(platform), random.Random(3)  # noqa: S311 - repeatable
    thrice = letters(load, 20, 10) * 3
    rng.shuffle(thrice)
    client.lpush("interactive", *thrice)
    with fleet(platform, 2) as workers:
        report = load.settle("every message three times, shuffled", PATIENCE_S)
        wait_until(lambda: idle(client), 60, "an empty broker")
        report.duplicates = 10 * (workers.logs().count("message done") - 20)
    assert report.duplicates > 0
    assert sorted(load.ledger_ids()) == sorted(load.submitted)
    settled(report, load)


def test_work_that_takes_three_times_the_lease_is_done_once(
    platform: Platform, client: "redis.Redis"
) -> None:
    load = Load.on(platform)
    client.lpush("interactive", *letters(load, 2, 5))
    with fleet(platform, 2, FAULT_SLOW=str(3 * float(LEASE_S))) as workers:
        report = load.settle("work of three times the lease", PATIENCE_S)
        wait_until(lambda: idle(client), 60, "an empty broker")
        assert workers.logs().count("message done") == 2
    settled(report, load)


def test_a_worker_whose_clock_is_two_hours_ahead_takes_nobodys_message(
    platform: Platform, client: "redis.Redis"
) -> None:
    load = Load.on(platform)
    client.lpush("interactive", *letters(load, 2, 5))
    with fleet(platform, 1, FAULT_SLOW="5") as slow:
        wait_until(lambda: client.hlen(LEASED) == 2, 60, "both taken")
        with fleet(platform, 1, FAULT_CLOCK_AHEAD="7200"):
            report = load.settle("a clock two hours ahead", PATIENCE_S)
        assert slow.logs().count("message done") == 2
    settled(report, load)


def test_a_broker_at_its_memory_limit_refuses_clearly_is_drained_and_recovers(
    platform: Platform, client: "redis.Redis"
) -> None:
    load = Load.on(platform)
    load.submit(1000)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 20_000)
    with pytest.raises(QueueFull, match="memory limit"), Producer(platform.broker) as producer:
        producer.submit_many(load.refs(50_000), collection=platform.collection)
    client.config_set("maxmemory", 1)  # full, whatever is drained
    with fleet(platform, 2):
        before = load.settle("broker at maxmemory", PATIENCE_S)
        assert (before.lost, before.wrong) == (0, 0), before
        client.config_set("maxmemory", 0)
        relieved = time.monotonic()
        load.submit(1)
        report = load.settle(before.fault, PATIENCE_S)
        report.recovery_s = round(time.monotonic() - relieved, 1)
    report.faults = {"maxmemory": 1}
    settled(report, load)


def test_two_workers_share_a_backlog(platform: Platform, client: "redis.Redis") -> None:
    load = Load.on(platform)
    with fleet(platform, 2, FAULT_SLOW="0.1") as workers:
        wait_until(lambda: len(workers.ready()) == 2, 90, "both workers")
        client.lpush("bulk", *letters(load, 100, 4))
        held = most_held(client, 1.0)
        report = load.settle("a backlog and two workers", PATIENCE_S)
        wait_until(lambda: sum(shares(workers)) >= 100, 60, "the last line of their logs")
        least = min(shares(workers))
    assert least >= 25  # about 50
    each = 2 * WorkerSettings().threads  # in work, and what is handed on or acknowledged just now
    assert held <= 2 * each  # else who starts later finds nothing to do
    settled(report, load)


def most_held(client: "redis.Redis", for_s: float) -> int:
    """Watch for a while; gives the most messages that were in hand at once."""
    most, until = 0, time.monotonic() + for_s
    while time.monotonic() < until:
        most = max(most, int(client.hlen(LEASED)))
    return most


def shares(workers: Fleet) -> list[int]:
    """Count the messages that each worker has done."""
    return [log.read_text().count("message done") for _, log in workers.running]


def idle(client: "redis.Redis") -> bool:
    return not client.hlen(LEASED) and not client.llen("interactive")
