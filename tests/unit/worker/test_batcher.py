import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.predictor import Prediction
from worker.batcher import LONGEST_PASS_S, PACE_FROM, Batcher


class Model:
    """Answers each picture with its own first byte; remembers batches; may be held up, or refuse a byte."""

    def __init__(self, poison: int | None = None) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.started = threading.Event()
        self._poison = poison

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        self.started.set()
        assert self.go.wait(5)
        self.batches.append(len(pixels))
        first = pixels[:, 0, 0, :1].astype(np.float32)  # (B, 1)
        if self._poison is not None and (first == self._poison).any():
            raise RuntimeError("poison")
        return Prediction(first, first.astype(np.int64), first, first[:, 0], first[:, 0] > 100, first[:, 0])


def pixels(*values: int) -> NDArray[np.uint8]:
    return np.stack([np.full((4, 4, 3), value, np.uint8) for value in values])


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(max_batch=8)
    yield made
    made.close()


def hold(batcher: Batcher, model: Model) -> None:
    """Keep the device busy with a batch of one until `model.go` is set."""
    model.go.clear()
    model.started.clear()
    batcher.submit(model, pixels(0))
    assert model.started.wait(5)


def test_an_idle_device_takes_a_request_at_once(batcher: Batcher) -> None:
    answer = batcher.submit(Model(), pixels(7, 8)).result(5)
    assert answer.prediction.nearest[:, 0].tolist() == [7, 8]
    assert answer.batch_size == 2


def test_what_waits_for_a_busy_device_shares_a_batch_and_each_gets_its_own_rows(batcher: Batcher) -> None:
    model = Model()
    hold(batcher, model)
    futures = [batcher.submit(model, pixels(i, i + 1)) for i in (10, 20, 30)]
    model.go.set()
    assert [f.result(5).prediction.nearest[:, 0].tolist() for f in futures] == [[10, 11], [20, 21], [30, 31]]
    assert {f.result(5).batch_size for f in futures} == {6}


def test_a_batch_never_passes_the_largest(batcher: Batcher) -> None:
    model = Model()
    hold(batcher, model)
    futures = [batcher.submit(model, pixels(1, 2, 3)) for _ in range(4)]
    model.go.set()
    for future in futures:
        future.result(5)
    assert model.batches == [1, 6, 6]


def test_what_is_urgent_goes_first_and_alone(batcher: Batcher) -> None:
    model = Model()
    hold(batcher, model)
    others = [batcher.submit(model, pixels(1, 2, 3)) for _ in range(2)]
    urgent = batcher.submit(model, pixels(4), urgent=True)
    model.go.set()
    assert urgent.result(5).batch_size == 1
    assert [other.result(5).batch_size for other in others] == [6, 6]
    assert model.batches == [1, 1, 6]


def test_what_is_more_than_a_pass_is_done_in_parts_and_what_is_urgent_in_between(batcher: Batcher) -> None:
    model = Model()
    model.go.clear()
    with ThreadPoolExecutor(1) as others:
        many = others.submit(batcher.ask, model, pixels(*range(20)), 5)
        assert model.started.wait(5)
        urgent = batcher.submit(model, pixels(50), urgent=True)
        model.go.set()
        answer = many.result(5)
    assert urgent.result(5).batch_size == 1
    assert model.batches == [8, 1, 8, 4]
    assert (answer.prediction.nearest[:, 0].tolist(), answer.batch_size) == (list(range(20)), 8)


def test_a_slow_device_gets_no_more_than_it_does_in_a_short_while() -> None:
    model, batcher = Model(), Batcher(max_batch=1000)
    batch = pixels(*range(PACE_FROM))
    model.go.clear()
    first = batcher.submit(model, batch)
    assert model.started.wait(5)
    others = [batcher.submit(model, batch) for _ in range(3)]
    time.sleep(2 * LONGEST_PASS_S)
    model.go.set()
    for answer in (first, *others):
        answer.result(5)
    batcher.close()
    assert model.batches[:2] == [PACE_FROM, PACE_FROM]  # and not what waited together


def test_after_a_slow_pass_small_requests_still_share_a_pass() -> None:
    batcher, model = Batcher(max_batch=1024), Model()
    model.go.clear()
    slow = batcher.submit(model, pixels(*[1] * PACE_FROM))
    assert model.started.wait(5)
    time.sleep(3 * LONGEST_PASS_S)  # a pace at which the next pass would have a third of it
    model.go.set()
    slow.result(5)
    hold(batcher, model)
    futures = [batcher.submit(model, pixels(1, 2)) for _ in range(PACE_FROM // 2)]
    model.go.set()
    assert {future.result(5).batch_size for future in futures} == {PACE_FROM}
    batcher.close()


def test_what_is_not_urgent_has_every_second_pass_once_it_is_late(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.two_lines.BULK_WAITS_S", 0.0)
    done: list[str] = []
    model = Model()
    hold(batcher, model)
    for name, urgent in (("bulk", False), ("more bulk", False), ("first", True), ("second", True)):
        request = batcher.submit(
            Model(), pixels(1), urgent=urgent
        )  # models of their own: passes of their own
        request.add_done_callback(lambda _, name=name: done.append(name))  # type: ignore[misc]
    model.go.set()
    batcher.close()
    assert done == ["first", "bulk", "second", "more bulk"]


def test_what_nobody_waits_for_any_more_is_not_done(batcher: Batcher) -> None:
    model = Model()
    hold(batcher, model)
    with pytest.raises(TimeoutError):
        batcher.ask(model, pixels(1, 2), 0.01)
    model.go.set()
    assert batcher.ask(model, pixels(1, 2, 3), 5).batch_size == 3
    assert model.batches == [1, 3]


def test_two_models_never_share_a_batch(batcher: Batcher) -> None:
    old, new = Model(), Model()
    hold(batcher, old)
    futures = [batcher.submit(model, pixels(1)) for model in (old, new, old)]
    old.go.set()
    for future in futures:
        future.result(5)
    assert (old.batches, new.batches) == ([1, 1, 1], [1])


def test_a_request_that_fails_does_not_fail_its_neighbours(batcher: Batcher) -> None:
    model = Model(poison=66)
    hold(batcher, model)
    good, bad, also_good = (batcher.submit(model, pixels(value)) for value in (1, 66, 2))
    model.go.set()
    assert good.result(5).prediction.nearest[0, 0] == 1
    assert also_good.result(5).prediction.nearest[0, 0] == 2
    with pytest.raises(RuntimeError, match="poison"):
        bad.result(5)


def test_the_device_thread_lives_on_after_a_failure(batcher: Batcher) -> None:
    with pytest.raises(RuntimeError):
        batcher.submit(Model(poison=1), pixels(1)).result(5)
    assert batcher.submit(Model(), pixels(3)).result(5).batch_size == 1


def test_closing_finishes_what_is_queued() -> None:
    batcher, model = Batcher(8), Model()
    hold(batcher, model)
    future = batcher.submit(model, pixels(5))
    model.go.set()
    batcher.close()
    assert future.done()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(model, pixels(1))
