import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_store.right_of_way import RightOfWay

SOON_S = 5.0


class Crowd:
    """Many who pass a way, and stay inside until told."""

    def __init__(self, way: RightOfWay) -> None:
        self._gate = way
        self._lock = threading.Lock()
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def pass_through(self, _: int) -> None:
        with self._gate.passing():
            self.inside.release()
            assert self.go.wait(SOON_S)


def test_all_pass_at_once_while_nothing_is_urgent() -> None:
    crowd = Crowd(RightOfWay(few=2))
    with ThreadPoolExecutor(6) as threads:
        passing = threads.map(crowd.pass_through, range(6))
        came_in = [crowd.inside.acquire(timeout=SOON_S) for _ in range(6)]
        crowd.go.set()
        list(passing)
    assert came_in == [True] * 6


def test_a_few_at_a_time_pass_while_something_is_urgent_and_the_rest_when_it_is_done() -> None:
    way = RightOfWay(few=2)
    crowd = Crowd(way)
    with ThreadPoolExecutor(6) as threads:
        with way.urgent():
            passing = threads.map(crowd.pass_through, range(6))
            came_in = [crowd.inside.acquire(timeout=SOON_S) for _ in range(2)]
            one_more = crowd.inside.acquire(timeout=0.2)
        later = [crowd.inside.acquire(timeout=SOON_S) for _ in range(4)]
        crowd.go.set()
        list(passing)
    assert (came_in, one_more, later) == ([True] * 2, False, [True] * 4)


def test_those_who_are_held_back_pass_one_by_one() -> None:
    way = RightOfWay(few=1)
    crowd = Crowd(way)
    crowd.go.set()
    with way.urgent(), ThreadPoolExecutor(6) as threads:
        list(threads.map(crowd.pass_through, range(20)))
    assert sum(crowd.inside.acquire(blocking=False) for _ in range(20)) == 20


def test_others_are_held_back_for_a_moment_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_store.right_of_way.LINGER_S", 60.0)
    way = RightOfWay(few=2)
    with way.urgent():
        pass
    crowd = Crowd(way)
    with ThreadPoolExecutor(6) as threads:
        passing = threads.map(crowd.pass_through, range(6))
        came_in = [crowd.inside.acquire(timeout=SOON_S) for _ in range(2)]
        one_more = crowd.inside.acquire(timeout=0.2)
        crowd.go.set()
        list(passing)
    assert (came_in, one_more) == ([True] * 2, False)
