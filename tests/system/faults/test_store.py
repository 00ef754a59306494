"""A real worker whose store fails, hangs or is away: every picture gets its one right result."""

import time
from collections.abc import Iterator

import pytest

from model_store.results import Results
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.faults.proxy import FaultyProxy
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import Platform, wait_until

N = 2_000 if LONG else 120
AWAY_S = 60.0 if LONG else 8.0
PATIENCE_S = 240.0
SHARES = {  # of 1; times the share of the test
    "error_500": 0.2,
    "error_503": 0.2,
    "reset": 0.2,
    "cut": 0.2,
    "error_200": 0.1,
    "drip": 0.05,
    "black_hole": 0.05,
}


@pytest.fixture
def proxy(platform: Platform) -> Iterator[FaultyProxy]:
    with FaultyProxy(int(platform.stack.endpoint.rpartition(":")[2]), seed=3) as proxy:
        yield proxy


def n_stored(load: Load) -> int:
    """Count the results as they lie in the store, read past the proxy."""
    return sum(1 for _ in Results(load.platform.store, load.platform.collection).get_many(load.submitted))


def settled(report: FaultReport) -> None:
    report.say()
    assert (report.results, report.wrong, report.lost, report.dead_letters) == (report.submitted, 0, 0, 0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_picture_is_right_though_store_requests_fail(
    platform: Platform, proxy: FaultyProxy, share: float
) -> None:
    load = Load.on(platform)
    quick = {"SHOAL_STORE__ENDPOINT": proxy.endpoint, "SHOAL_STORE__TIMEOUT_S": "2"}
    with fleet(platform, 1, **quick) as workers:
        proxy.inject(**{kind: part * share for kind, part in SHARES.items()})
        for _ in range(N // 40):
            load.submit(40)
        report = load.settle(f"{share:.0%} of all store requests fail", PATIENCE_S)
        proxy.inject()
        report.faults = dict(proxy.counts)
        settled(report)

    assert report.submitted == N
    assert workers.deaths == 0
    assert sum(proxy.counts[kind] for kind in SHARES) > N * share / 2


def test_a_store_that_is_away_loses_nothing_and_work_goes_on_when_it_is_back(
    platform: Platform, proxy: FaultyProxy
) -> None:
    load = Load.on(platform)
    with fleet(platform, 1, SHOAL_STORE__ENDPOINT=proxy.endpoint) as workers:
        load.submit(40)
        wait_until(lambda: n_stored(load) > 0, 90, "the first results")
        proxy.away()
        for _ in range(N // 40 - 1):
            load.submit(40)
        time.sleep(AWAY_S)  # the outage itself
        before = n_stored(load)
        proxy.back()
        returned = time.monotonic()
        wait_until(lambda: n_stored(load) > before, 120, "work to go on")
        recovery_s = round(time.monotonic() - returned, 1)
        report = load.settle(f"store away for {AWAY_S:g} s under load", PATIENCE_S)
        report.recovery_s, report.faults = recovery_s, dict(proxy.counts)
        settled(report)

    assert before < N == report.submitted
    assert workers.deaths == 0


def test_a_worker_started_before_its_store_waits_says_so_and_then_works(
    platform: Platform, proxy: FaultyProxy
) -> None:
    load = Load.on(platform)
    proxy.away()
    with platform.running("worker", "waiting", SHOAL_STORE__ENDPOINT=proxy.endpoint) as log:
        load.submit(12)
        assert "worker ready" not in log.read_text()
        assert proxy.endpoint in log.read_text()
        proxy.back()
        report = load.settle("worker started while the store is away", PATIENCE_S)
        report.faults = dict(proxy.counts)
        settled(report)
