import pytest

from worker.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_in_work_is_told_with_its_age_oldest_first() -> None:
    clock = Clock()
    progress = Progress(clock)
    for name in ("b", "a"):
        progress.taken(name)
        clock.now += 5
    assert list(progress.ages_s().items()) == [("b", 10.0), ("a", 5.0)]


def test_taking_and_finishing_both_are_progress() -> None:
    clock = Clock()
    progress = Progress(clock)
    assert progress.last_at == 100
    clock.now = 110
    progress.taken("a")
    assert progress.last_at == 110
    clock.now = 120
    progress.finished("a")
    assert progress.last_at == 120
    assert progress.in_work() == {}


def test_a_duplicate_in_work_is_in_work_until_both_are_finished() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.taken("a")
    clock.now += 5
    progress.taken("a")
    progress.finished("a")
    assert progress.in_work() == {"a": 100}
    progress.finished("a")
    progress.finished("a")
    assert progress.in_work() == {}


def test_work_that_ends_in_an_error_is_finished() -> None:
    progress = Progress()
    with pytest.raises(ZeroDivisionError), progress.working("a"):
        raise ZeroDivisionError
    assert progress.in_work() == {}
