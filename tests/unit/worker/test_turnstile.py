import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import pytest

from worker.turnstile import Turnstile


def test_many_are_inside_together() -> None:
    turnstile, all_in = Turnstile(), threading.Barrier(3, timeout=10)

    def enter() -> None:
        with turnstile.together():
            all_in.wait()

    run([enter] * 3)


def test_whoever_is_alone_waits_for_the_others_and_keeps_newcomers_out() -> None:
    turnstile = Turnstile()
    log: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        with turnstile.together():
            alone: Future[None] = pool.submit(note, turnstile.alone, log, "alone")
            wait_for_somebody_wanting(turnstile)
            newcomer = pool.submit(note, turnstile.together, log, "newcomer")
            with pytest.raises(NotYet):
                newcomer.result(0.05)
            log.append("first")
        alone.result(10)
        newcomer.result(10)
    assert log == ["first", "alone", "newcomer"]


def test_whoever_comes_later_is_let_in_between_two_who_want_to_be_alone() -> None:
    turnstile, order = Turnstile(), []  # type: ignore[var-annotated]
    with ThreadPoolExecutor(3) as pool:
        with turnstile.alone():
            waiting = []
            for number, (way, name) in enumerate(
                [(turnstile.alone, "alone"), (turnstile.together, "together"), (turnstile.alone, "again")], 1
            ):
                waiting.append(pool.submit(note, way, order, name))
                with turnstile._changed:
                    while len(turnstile._queue) < number:
                        turnstile._changed.wait(0.01)
        for each in waiting:
            each.result(10)
    assert order == ["alone", "together", "again"]


def test_two_who_want_to_be_alone_go_one_after_the_other() -> None:
    turnstile, inside = Turnstile(), []

    def enter() -> None:
        with turnstile.alone():
            inside.append(1)
            assert len(inside) == 1
            inside.pop()

    run([enter] * 8)


def test_an_error_inside_leaves_the_turnstile_open() -> None:
    turnstile = Turnstile()
    for way in (turnstile.together, turnstile.alone):
        with pytest.raises(ZeroDivisionError), way():
            raise ZeroDivisionError
    run([lambda: note(turnstile.alone, [], "x"), lambda: note(turnstile.together, [], "y")])


def note(way: Callable[[], object], log: list[str], name: str) -> None:
    with way():  # type: ignore[attr-defined]
        log.append(name)


def wait_for_somebody_wanting(turnstile: Turnstile) -> None:
    with turnstile._changed:
        while not turnstile._queue:
            turnstile._changed.wait(0.01)


def run(jobs: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result(10)
