import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from model_store.in_parallel import in_parallel
from model_store.right_of_way import RightOfWay
from tests.unit.producer.post import wait_until

OPEN = RightOfWay(8)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 31, 100])
def test_each_position_comes_once_with_what_came_of_it(pool: ThreadPoolExecutor, n: int) -> None:
    for items in (list(range(n)), iter(range(n))):
        assert sorted(in_parallel(pool, 8, lambda x: 10 * x, items, OPEN)) == [(i, 10 * i) for i in range(n)]


def test_as_many_things_as_threads_are_all_under_way_at_once(pool: ThreadPoolExecutor) -> None:
    together = threading.Barrier(8)

    found = list(in_parallel(pool, 8, lambda _: together.wait(5) >= 0, range(8), OPEN))

    assert len(found) == 8


def test_no_more_threads_than_wanted_are_at_it(pool: ThreadPoolExecutor) -> None:
    lock, inside, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.002)
        with lock:
            inside -= 1

    list(in_parallel(pool, 3, work, range(40), OPEN))

    assert most == 3


def test_one_that_waits_holds_up_few_others(pool: ThreadPoolExecutor) -> None:
    go_on = threading.Event()
    found = []

    for position, _ in in_parallel(pool, 4, lambda x: go_on.wait(10) if x == 0 else True, range(40), OPEN):
        found.append(position)
        if len(found) == 36:
            go_on.set()

    assert found.index(0) >= 36


def test_what_the_work_raises_is_raised(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(pool, 4, lambda x: 1 // (x - 20), range(40), OPEN))


def test_a_pool_that_is_shut_down_meanwhile_hangs_nobody() -> None:
    pool, go_on = ThreadPoolExecutor(1), threading.Event()
    arriving = in_parallel(pool, 4, lambda _: go_on.wait(10), range(4), OPEN)

    def close() -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        go_on.set()

    closing = threading.Timer(0.1, close)
    closing.start()

    with pytest.raises(CancelledError):
        list(arriving)
    closing.join()


def test_all_that_came_is_read_or_unwanted(pool: ThreadPoolExecutor) -> None:
    for _ in range(50):
        done: list[int] = []
        unwanted: list[int] = []

        def work(x: int, done: list[int] = done) -> int:
            done.append(x)
            return x

        arriving = in_parallel(pool, 8, work, range(200), OPEN, unwanted=unwanted.append)
        read = [next(arriving)[1] for _ in range(20)]
        arriving.close()
        while sorted(read + unwanted) != sorted(done):  # those under way
            threading.Event().wait(0.001)

        assert len(done) < 200


def test_what_nobody_wants_any_more_is_not_begun_when_its_turn_comes(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_store.right_of_way.LINGER_S", 60.0)
    way, begun, go_on = RightOfWay(few=1), list[int](), threading.Event()
    with way.urgent():
        pass

    def work(x: int) -> bool:
        begun.append(x)
        return len(begun) == 1 or go_on.wait(10)

    arriving = in_parallel(pool, 8, work, range(8), way)
    next(arriving)
    wait_until(lambda: len(begun) == 2)  # the others wait for their turn
    arriving.close()
    go_on.set()
    pool.shutdown()

    assert len(begun) == 2
