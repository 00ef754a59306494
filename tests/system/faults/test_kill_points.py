"""Workers killed at every point of their work: nothing is lost, and nothing done twice counts twice."""

import contextlib
import random
import signal
import time
from collections.abc import Callable

from producer.broker import redis_client
from tests.system.faults.failpoints import POINTS
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.faults.report import LONG
from tests.system.faults.test_kills import PATIENCE_S, settled
from tests.system.running_platform import Platform

PER_POINT, AT_A_TIME = (20, 40) if LONG else (1, 10)
WAITING = 50  # messages
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


def feed(load: Load, until: Callable[[], bool]) -> None:
    """Submit small messages until enough has happened, so that some always wait, and never many."""
    give_up_at = time.monotonic() + PATIENCE_S * 4
    with contextlib.closing(redis_client(load.platform.broker)) as client:
        while not until():
            assert time.monotonic() < give_up_at
            if client.llen("interactive") < WAITING:
                load.submit(AT_A_TIME)
            time.sleep(0.1)
