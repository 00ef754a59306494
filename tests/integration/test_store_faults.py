"""The store behind a faulty proxy: what S3Store gives is right, or a clean error that a second call mends."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from console.stack import Stack
from model_store.object_store import Get, StoredObject
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.errors import (
    ObjectNotFound,
    PreconditionFailed,
    ShoalError,
    StoreBusy,
    StoreUnavailable,
    TransientError,
)
from tests.system.faults.proxy import FaultyProxy
from tests.system.faults.report import LONG, FaultReport

KINDS = ("latency", "error_500", "error_503", "error_400", "reset", "cut", "drip", "error_200", "black_hole")
N, N_ODD = (300, 20) if LONG else (40, 4)
BOUND_S = 120  # far above what any needs; without a limit on whole requests a drip takes 300 s


def s3_port(stack: Stack) -> int:
    return int(stack.endpoint.rpartition(":")[2])


@pytest.fixture
def proxy(stack: Stack) -> Iterator[FaultyProxy]:
    # drips come sooner than a read gives up
    with FaultyProxy(s3_port(stack), seed=7, latency_s=0.1, drip_s=0.1) as proxy:
        yield proxy


def through(proxy: FaultyProxy, stack: Stack, **settings: float) -> "closing[S3Store]":
    known = {"timeout_s": 0.4, "max_in_flight": 16, **settings}
    return closing(
        S3Store(
            stack.bucket,
            StoreSettings.model_validate(
                {"endpoint": proxy.endpoint, "credentials_file": stack.credentials_file, **known}
            ),
        )
    )


def objects(prefix: str) -> dict[str, bytes]:
    """Objects of many sizes; some have keys that obstore does not take."""
    plain = {f"{prefix}{n:03}": b"%d:" % n + bytes(range(256)) * (n % 13) for n in range(N)}
    return plain | {f"{prefix}odd//{n}\n": b"odd %d" % n for n in range(N_ODD)}


def still_wrong(outcomes: dict[str, str | ShoalError]) -> list[str]:
    """Keys whose call failed; every failure must be one that may pass."""
    failed = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, ShoalError)}
    assert all(isinstance(error, TransientError) for error in failed.values()), failed
    return list(failed)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5] if LONG else [0.1, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_right_or_the_error_is_clean_and_passes(
    proxy: FaultyProxy, stack: Stack, s3_store: S3Store, prefix: str, kind: str, share: float
) -> None:
    known = objects(prefix)
    started = time.monotonic()
    with through(proxy, stack) as store:
        proxy.inject(**{kind: share})
        put_failed = still_wrong(store.put_many(known))
        proxy.inject()
        assert still_wrong(store.put_many({key: known[key] for key in put_failed})) == []
        proxy.inject(**{kind: share})
        keys = list(known)
        found = {keys[at]: outcome for at, outcome in store.get_many(Get(key) for key in keys)}
        get_failed = [key for key in keys if isinstance(found[key], ShoalError)]
        assert all(isinstance(found[key], TransientError) for key in get_failed), found
        proxy.inject()
        found |= {key: store.get(key) for key in get_failed}
    took_s = time.monotonic() - started

    right = {key: isinstance(got := found[key], StoredObject) and got.data == known[key] for key in keys}
    report = FaultReport(f"store, {kind}, {share:.0%} of requests", faults=proxy.counts, recovery_s=0.0)
    report.count(known, right)
    report.say()
    assert (report.results, report.wrong, report.lost) == (N + N_ODD, 0, 0)
    assert all(s3_store.get(key).data == known[key] for key in keys)
    assert took_s < BOUND_S
    assert proxy.counts[kind] > 0 or share == 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_attempt_meets_the_fault_and_says_so(
    proxy: FaultyProxy, stack: Stack, s3_store: S3Store, prefix: str, kind: str
) -> None:
    keys = {"plain": prefix + "key", "odd": prefix + "odd//key"}
    for key in keys.values():
        s3_store.put(key, b"x" * 500)
    proxy.inject(**{kind: 1.0})
    with through(proxy, stack, max_retries=0) as store:
        started = time.monotonic()
        for key in keys.values():
            if kind == "latency":
                assert store.get(key).data == b"x" * 500
                continue
            with pytest.raises(StoreUnavailable) as caught:
                store.get(key)
            assert isinstance(caught.value, StoreBusy) == (kind == "error_503")
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("kind", "share"), [("error_500", 0.5), ("reset", 0.1), ("reset", 0.5), ("black_hole", 0.1)]
)
def test_a_conditional_write_whose_answer_was_lost_knows_its_own_work(
    proxy: FaultyProxy, stack: Stack, s3_store: S3Store, prefix: str, kind: str, share: float
) -> None:
    written, unknown = 0, 0
    with through(proxy, stack) as store, ThreadPoolExecutor(16) as pool:

        def chain(n: int) -> str:
            """Create and swap; nobody else writes here, so a failed condition would be our own work."""
            key = f"{prefix}{n}"
            try:
                etag = store.put(key, b"first", create_only=True)
                store.put(key, b"second", if_match=etag)
            except TransientError:
                return "unknown"
            assert s3_store.get(key).data == b"second"
            return "written"

        proxy.inject(**{kind: share})
        ends = list(pool.map(chain, range(30)))
    written, unknown = ends.count("written"), ends.count("unknown")

    assert written + unknown == 30
    assert written >= 24
    assert proxy.counts[kind] > 0


@pytest.mark.parametrize("kind", ["error_500", "reset", "cut"])
def test_no_counted_update_is_lost_among_racers_through_a_faulty_store(
    proxy: FaultyProxy, stack: Stack, s3_store: S3Store, prefix: str, kind: str
) -> None:
    key = prefix + "counter"
    s3_store.put(key, b"0")
    proxy.inject(**{kind: 0.3})
    with through(proxy, stack) as store, ThreadPoolExecutor(6) as pool:

        def add(_: int) -> tuple[int, int]:
            done, unknown = 0, 0
            while done + unknown < 8:
                try:
                    found = store.get(key)
                    store.put(key, b"%d" % (int(found.data) + 1), if_match=found.etag)
                except PreconditionFailed:
                    continue
                except TransientError:
                    unknown += 1
                else:
                    done += 1
            return done, unknown

        counts = list(pool.map(add, range(6)))
    done, unknown = (sum(count[at] for count in counts) for at in (0, 1))

    # a racer that replaced ours before we could ask makes us count once less than was written
    assert done <= int(s3_store.get(key).data)
    assert done > 24
    assert done + unknown == 48


def test_a_listing_through_faults_is_whole(proxy: FaultyProxy, stack: Stack, prefix: str) -> None:
    with through(proxy, stack, timeout_s=2.0) as store:  # a page of 1,000 takes long on a busy machine
        store.put_many({f"{prefix}{n:04}": b"" for n in range(1_100)})  # two pages
        proxy.inject(reset=0.2, cut=0.2, error_200=0.2)
        for _ in range(3):
            assert [info.key for info in store.list(prefix)] == [f"{prefix}{n:04}" for n in range(1_100)]


def test_a_conditional_delete_whose_answer_was_lost_is_done(
    proxy: FaultyProxy, stack: Stack, s3_store: S3Store, prefix: str
) -> None:
    etags = {f"{prefix}{n}": s3_store.put(f"{prefix}{n}", b"x") for n in range(10)}
    proxy.inject(reset=0.5)
    with through(proxy, stack, max_retries=20) as store:
        for key, etag in etags.items():
            store.delete(key, if_match=etag)

    assert list(s3_store.list(prefix)) == []
    assert proxy.counts["reset"] > 2


def test_permanent_errors_are_not_tried_again(proxy: FaultyProxy, stack: Stack, prefix: str) -> None:
    with through(proxy, stack) as store:
        for key in (prefix + "absent", prefix + "absent//odd"):
            with pytest.raises(ObjectNotFound):
                store.get(key)
        store.put(prefix + "there", b"x")
        with pytest.raises(PreconditionFailed):
            store.put(prefix + "there", b"y", create_only=True)

    assert proxy.counts["requests"] == 4


def test_a_store_away_for_a_moment_costs_only_time(proxy: FaultyProxy, stack: Stack, prefix: str) -> None:
    with through(proxy, stack) as store:
        proxy.away_for(1.5)
        outcomes = store.put_many({f"{prefix}{n}": b"x" for n in range(40)})

    assert still_wrong(outcomes) == []


def test_requests_on_their_way_are_bounded(proxy: FaultyProxy, stack: Stack, prefix: str) -> None:
    proxy.inject(latency=1.0)
    with through(proxy, stack, max_in_flight=4, timeout_s=10) as store:
        store.put_many({f"{prefix}{n}": b"x" for n in range(40)})
        assert len(list(store.get_many(Get(f"{prefix}{n}") for n in range(40)))) == 40

    assert 1 < proxy.peak <= 4
