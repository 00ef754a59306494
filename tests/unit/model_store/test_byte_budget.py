"""How bytes are shared: who waits, who goes first, and that nothing is lost on the way."""

import threading
from collections.abc import Callable

import pytest

from model_store.byte_budget import ByteBudget, NoRoom, Reservation

SOON_S = 10


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_what_does_not_fit_waits_until_there_is_room() -> None:
    budget = ByteBudget(100)
    budget.take(60)
    waiting = started(lambda: budget.take(50))
    waiting.join(0.05)
    assert waiting.is_alive()
    budget.give_back(60)
    waiting.join(SOON_S)
    assert (budget.held_bytes, budget.peak_bytes) == (50, 60)


def test_nobody_is_overtaken_by_a_smaller_wish() -> None:
    budget = ByteBudget(100)
    budget.take(60)
    large = started(lambda: budget.take(90))
    while budget.try_take(1):  # until the large one stands in line
        budget.give_back(1)
    assert not budget.try_take(1)
    budget.give_back(60)
    large.join(SOON_S)
    assert budget.held_bytes == 90


def test_what_is_larger_than_the_whole_budget_has_all_of_it_alone() -> None:
    budget = ByteBudget(100)
    with budget.held(1000):
        assert not budget.try_take(1)
    assert budget.held_bytes == 0


def test_many_threads_never_hold_more_than_the_limit() -> None:
    budget = ByteBudget(100)

    def work(size: int) -> None:
        for _ in range(200):
            with budget.held(size):
                pass

    for thread in [started(lambda size=size: work(size)) for size in (7, 40, 60, 99)]:  # type: ignore[misc]
        thread.join(SOON_S)
    assert budget.held_bytes == 0
    assert budget.peak_bytes <= 100


def test_a_read_that_finds_no_room_holds_nothing_and_comes_again_with_what_it_needs() -> None:
    budget = ByteBudget(100)
    budget.take(80)
    held = Reservation(budget)
    with pytest.raises(NoRoom):
        held.begin()(50)
    assert budget.held_bytes == 80
    budget.give_back(80)
    held.wait_for(50)
    held.begin()(50)
    assert budget.held_bytes == 50


def test_an_object_that_shrank_or_grew_meanwhile_is_held_as_it_is_now() -> None:
    budget = ByteBudget(100)
    held = Reservation(budget)
    held.wait_for(50)
    held.begin()(20)
    assert budget.held_bytes == 20
    held.begin()(70)
    assert budget.held_bytes == 70
    held.drop()
    assert budget.held_bytes == 0


def test_an_attempt_that_was_given_up_admits_nothing_more() -> None:
    budget = ByteBudget(100)
    held = Reservation(budget)
    late = held.begin()
    held.begin()(10)
    held.keep()
    with pytest.raises(NoRoom):
        late(40)
    assert budget.held_bytes == 10
