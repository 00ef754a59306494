import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_store.right_of_way import RightOfWay

SOON_S = 5.0
MODULE = "model_store.right_of_way"


class Crowd:
    """Many who pass a way, and stay inside until told."""

    def __init__(self, way: RightOfWay) -> None:
        self._gate = way
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def pass_through(self, _: int) -> None:
        with self._gate.passing():
            self.inside.release()
            assert self.go.wait(SOON_S)

    def came_in(self, most: int, wait_s: float = SOON_S) -> int:
        """Count those who come in, until `most` did or nobody does for `wait_s`."""
        return next((n for n in range(most) if not self.inside.acquire(timeout=wait_s)), most)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(6) as pool:
        yield pool


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.PATIENCE_S", 60.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.PATIENCE_S", 0.0)


def test_all_pass_at_once_while_nothing_is_urgent(threads: ThreadPoolExecutor) -> None:
    crowd = Crowd(RightOfWay(few=2))
    passing = threads.map(crowd.pass_through, range(6))
    came_in = crowd.came_in(6)
    crowd.go.set()
    list(passing)
    assert came_in == 6


@pytest.mark.usefixtures("patient")
def test_nobody_passes_while_something_is_urgent_and_all_when_it_is_done(threads: ThreadPoolExecutor) -> None:
    way = RightOfWay(few=2)
    crowd = Crowd(way)
    with way.urgent():
        passing = threads.map(crowd.pass_through, range(6))
        came_in = crowd.came_in(1, 0.2)
    later = crowd.came_in(6)
    crowd.go.set()
    list(passing)
    assert (came_in, later) == (0, 6)


@pytest.mark.usefixtures("impatient")
def test_who_was_held_back_for_long_passes_a_few_at_a_time(threads: ThreadPoolExecutor) -> None:
    way = RightOfWay(few=2)
    crowd = Crowd(way)
    with way.urgent():
        passing = threads.map(crowd.pass_through, range(6))
        came_in = crowd.came_in(3, 0.2)
        crowd.go.set()
        list(passing)
    assert came_in == 2


def test_urgent_blocks_one_after_the_other_hold_nobody_back_for_ever(threads: ThreadPoolExecutor) -> None:
    way = RightOfWay(few=2)
    crowd = Crowd(way)
    stop = threading.Event()

    def one_after_the_other() -> None:
        while not stop.is_set():
            with way.urgent():
                stop.wait(0.05)

    many = threads.submit(one_after_the_other)
    passing = threads.submit(crowd.pass_through, 0)
    came_in = crowd.came_in(1)
    crowd.go.set()
    stop.set()
    many.result()
    passing.result()
    assert came_in == 1


@pytest.mark.usefixtures("impatient")
def test_those_who_are_held_back_pass_one_by_one(threads: ThreadPoolExecutor) -> None:
    way = RightOfWay(few=1)
    crowd = Crowd(way)
    crowd.go.set()
    with way.urgent():
        list(threads.map(crowd.pass_through, range(20)))
    assert crowd.came_in(20) == 20


def test_others_are_held_back_for_a_moment_longer(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.LINGER_S", 60.0)
    way = RightOfWay(few=2)
    with way.urgent():
        pass
    crowd = Crowd(way)
    passing = threads.map(crowd.pass_through, range(6))
    came_in = crowd.came_in(3, 0.2)
    crowd.go.set()
    list(passing)
    assert came_in == 2


@pytest.mark.usefixtures("patient")
def test_who_wants_nothing_any_more_is_let_go_without_waiting_for_a_turn(threads: ThreadPoolExecutor) -> None:
    way, gave_up = RightOfWay(few=1), threading.Event()

    def come() -> bool:
        with way.passing(gave_up.is_set) as wanted:
            return wanted

    with way.urgent():
        waiting = threads.submit(come)
        gave_up.set()
        way.look_again()
        assert not waiting.result(SOON_S)
