"""Workers killed at every point of their work: nothing is lost, and nothing done twice counts twice."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

from producer.broker import redis_client
from producer.leases import LEASED
from tests.system.faults.failpoints import POINTS
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import Platform, wait_until

PER_POINT, AT_A_TIME = (20, 40) if LONG else (1, 10)
RANDOM_KILLS = 300 if LONG else 2
STOPS, PICTURES_OF_STOPS = (20, 5_000) if LONG else (1, 250)
PATIENCE_S = 600.0
SIGKILLED = 128 + signal.SIGKILL


def test_sigkill_at_each_point_of_the_work_loses_nothing(platform: Platform) -> None:
    load, rng = Load.on(platform), random.Random(0)  # noqa: S311 - repeatable
    points = [f"{point}:{rng.randint(1, 12)}" for point in POINTS for _ in range(PER_POINT)]
    with fleet(platform, 2, kill_at=points) as workers:
        feed(load, until=lambda: workers.deaths >= len(points))
        report = load.settle("SIGKILL at each failpoint", PATIENCE_S)
        assert set(workers.statuses) == {SIGKILLED}
    report.faults = {"SIGKILL": len(points)}
    settled(report, load)


def test_sigkills_at_random_moments_lose_nothing_and_the_rest_goes_on_in_time(platform: Platform) -> None:
    load, rng = Load.on(platform), random.Random(1)  # noqa: S311 - repeatable
    with fleet(platform, 2) as workers:
        while workers.deaths < RANDOM_KILLS:
            if workers.signal_one(signal.SIGKILL, rng):
                load.submit(rng.randint(1, 300))
            time.sleep(rng.uniform(0, 0.3))
        report = load.settle("SIGKILL at random moments", PATIENCE_S)
    report.faults = {"SIGKILL": workers.deaths}
    settled(report, load)


def test_the_messages_of_a_killed_worker_are_done_by_another_soon_after_its_lease(platform: Platform) -> None:
    load = Load.on(platform)
    lease = {"SHOAL_BROKER__LEASE_S": "10"}  # the default
    with fleet(platform, 1, FAULT_SLOW="60", **lease) as slow:
        load.submit(20)
        with contextlib.closing(redis_client(platform.broker)) as client:
            wait_until(lambda: client.hlen(LEASED) > 0, 60, "messages in hand")
        (holder,) = slow.ready()
        slow.size = 0
        with fleet(platform, 1, **lease):
            os.kill(holder.pid, signal.SIGKILL)
            killed = time.monotonic()
            report = load.settle("SIGKILL with messages in hand, lease of 10 s", PATIENCE_S)
            report.recovery_s = round(time.monotonic() - killed, 1)
    report.faults = {"SIGKILL": 1}
    settled(report, load)
    assert report.recovery_s < 30  # 15 are promised; a busy machine is slow in other ways


def test_sigterm_in_mid_batch_ends_in_order_and_loses_nothing(platform: Platform) -> None:
    load, rng = Load.on(platform), random.Random(2)  # noqa: S311 - repeatable
    with fleet(platform, 2) as workers:
        for stop in range(1, STOPS + 1):
            load.submit(PICTURES_OF_STOPS // STOPS)
            wait_until(lambda: workers.signal_one(signal.SIGTERM, rng), 60, "a worker to stop")
            wait_until(lambda stop=stop: len(workers.statuses) >= stop, 60, "its end")  # type: ignore[misc]
        report = load.settle("SIGTERM in mid-batch", PATIENCE_S)
        assert set(workers.statuses) == {0}
    report.faults = {"SIGTERM": STOPS}
    settled(report, load)


def test_a_worker_that_sleeps_past_its_lease_wakes_up_to_no_harm(platform: Platform) -> None:
    load = Load.on(platform)
    with fleet(platform, 2) as workers:
        (sleeper, *_) = workers.ready()
        load.submit(400)
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            load.submit(400)
            report = load.settle("SIGSTOP for longer than the lease", PATIENCE_S)
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        load.submit(100)
        report = load.settle(report.fault, PATIENCE_S)
        assert workers.deaths == 0
    report.faults = {"SIGSTOP": 1}
    settled(report, load)


def feed(load: Load, until: Callable[[], bool]) -> None:
    """Submit small messages until enough has happened."""
    give_up_at = time.monotonic() + PATIENCE_S * 4
    while not until():
        assert time.monotonic() < give_up_at
        load.submit(AT_A_TIME)
        time.sleep(0.1)


def settled(report: FaultReport, load: Load) -> None:
    """Hold the count against the promise: all there and all right.

    A dead letter is no fault here: a picture alone when two workers were killed looks like the killer.
    """
    report.say()
    assert (report.lost, report.wrong) == (0, 0), report
    assert report.results == len(load.submitted)
