"""A real worker whose store fails, hangs or is away: every picture gets its one right result."""

import time
from collections.abc import Iterator

import pytest

from model_store.results import Results
from producer.contracts import ImageRef, Result
from tests.system.faults.answers import expected_clusters, is_right
from tests.system.faults.proxy import FaultyProxy
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import Platform, picture, wait_until

N = 1_000 if LONG else 240
AWAY_S = 60.0 if LONG else 8.0
PATIENCE_S = 240
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


def upload(platform: Platform, n: int) -> tuple[list[ImageRef], dict[str, bytes]]:
    data = {f"{platform.collection}/{i}.png": picture(i % 3, i) for i in range(n)}
    platform.uploads.put_many(data)
    refs = [ImageRef(image_id=key.replace("/", "_"), bucket="uploads", key=key) for key in data]
    return refs, {ref.image_id: data[ref.key] for ref in refs}


def stored(platform: Platform, refs: list[ImageRef]) -> dict[str, Result]:
    """Results as they lie in the store, read without the proxy."""
    found = Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)
    return {result.image_id: result for result in found}


def settle(report: FaultReport, platform: Platform, refs: list[ImageRef], pictures: dict[str, bytes]) -> None:
    """Wait until all have a result, then count."""
    wait_until(lambda: len(stored(platform, refs)) == len(refs), PATIENCE_S, "all results")
    results, expected = stored(platform, refs), expected_clusters(platform, pictures)
    report.count(
        pictures, {name: is_right(result, pictures[name], expected[name]) for name, result in results.items()}
    )
    report.dead_letters = sum(
        "/dead/" in info.key for info in platform.store.list(f"{platform.collection}/dead/")
    )
    report.duplicates = sum(result.attempt > 1 for result in results.values())
    report.say()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_picture_is_right_though_requests_fail(
    platform: Platform, proxy: FaultyProxy, share: float
) -> None:
    platform.promote_tiny_model()
    refs, pictures = upload(platform, N)
    quick = {"SHOAL_STORE__ENDPOINT": proxy.endpoint, "SHOAL_STORE__TIMEOUT_S": "2"}
    with platform.running("worker", "worker ready", **quick):
        proxy.inject(**{kind: part * share for kind, part in SHARES.items()})
        for at in range(0, N, 40):
            platform.submit(refs[at : at + 40])
        report = FaultReport(f"worker, {share:.0%} of all store requests fail", faults=proxy.counts)
        settle(report, platform, refs, pictures)
        proxy.inject()

    assert (report.submitted, report.results, report.wrong, report.lost) == (N, N, 0, 0)
    assert report.dead_letters == 0
    assert min(proxy.counts[kind] for kind in SHARES) > 0


def test_a_store_that_is_away_loses_nothing_and_work_goes_on_when_it_is_back(
    platform: Platform, proxy: FaultyProxy
) -> None:
    platform.promote_tiny_model()
    refs, pictures = upload(platform, N)
    with platform.running("worker", "worker ready", SHOAL_STORE__ENDPOINT=proxy.endpoint):
        platform.submit(refs[: N // 4])
        wait_until(lambda: len(stored(platform, refs)) > 0, 60, "the first results")
        proxy.away()
        for at in range(N // 4, N, N // 8):
            platform.submit(refs[at : at + N // 8])
        time.sleep(AWAY_S)  # the outage itself
        before = len(stored(platform, refs))
        proxy.back()
        returned = time.monotonic()
        wait_until(lambda: len(stored(platform, refs)) > before, 120, "work to go on")
        report = FaultReport(f"worker, store away for {AWAY_S:g} s", faults=proxy.counts)
        report.recovery_s = round(time.monotonic() - returned, 1)
        settle(report, platform, refs, pictures)

    assert before < N
    assert (report.submitted, report.results, report.wrong, report.lost) == (N, N, 0, 0)
    assert report.dead_letters == 0


def test_a_worker_started_before_its_store_waits_and_then_works(
    platform: Platform, proxy: FaultyProxy
) -> None:
    platform.promote_tiny_model()
    refs, pictures = upload(platform, 12)
    proxy.away()
    with platform.running("worker", "waiting", SHOAL_STORE__ENDPOINT=proxy.endpoint) as log:
        platform.submit(refs)
        assert "worker ready" not in log.read_text()
        proxy.back()
        report = FaultReport("worker started while the store is away", faults=proxy.counts)
        settle(report, platform, refs, pictures)

    assert (report.results, report.wrong, report.lost) == (12, 0, 0)
