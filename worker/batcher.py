"""Batches across messages by never waiting.

One device thread takes everything that is queued, up to the largest batch, as soon as the device is
free. Idle: a batch of one message, no added delay. Busy: batches grow by themselves, as far as a pass stays
short. What is urgent goes first, and does not wait for others in its own pass.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from model_store.predictor import Prediction
from worker.two_lines import TwoLines

log = structlog.get_logger(__name__)

LONGEST_PASS_S: Final = 0.05  # about, at the pace of the last one: what is urgent waits for the pass at work
PACE_FROM: Final = 64  # pictures: a smaller pass tells little of the pace of a large one


class Model(Protocol):
    """What the device thread asks of a model."""

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict for pixels (B, S, S, 3)."""


class Answer(NamedTuple):
    """A prediction for one request's pictures, and how many shared its pass."""

    prediction: Prediction
    batch_size: int


@dataclass(frozen=True, slots=True)
class _Request:
    model: Model
    pixels: NDArray[np.uint8]  # (n, S, S, 3)
    answer: "Future[Answer]"
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """The one thread on which pictures are predicted."""

    def __init__(self, max_batch: int, on_pass: Callable[[int], None] = lambda _: None) -> None:
        """Start the device thread; at most `max_batch` pictures in a pass, and `on_pass` is told how many."""
        self._max_batch = max_batch
        self._on_pass = on_pass
        self._changed = threading.Condition()
        self._lines: TwoLines[_Request] = TwoLines()
        self._pictures_per_s = float("inf")
        self._closed = False
        self.busy_since: float | None = None  # at the pass under way, on the monotonic clock
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    def submit(self, model: Model, pixels: NDArray[np.uint8], *, urgent: bool = False) -> "Future[Answer]":
        """Queue pictures (n, S, S, 3), n at least 1 and at most `max_batch`, for one model.

        The future fails only if predicting these pictures fails; neighbours in the batch do not matter. It
        may be cancelled while it waits.
        """
        request = _Request(model, pixels, Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._lines.join(request, urgent=urgent)
            self._changed.notify()
        return request.answer

    def ask(
        self, model: Model, pixels: NDArray[np.uint8], timeout_s: float, *, urgent: bool = False
    ) -> Answer:
        """Submit any number, and wait for the answer; what has none in time is not done any more.

        More than a pass holds goes in parts, so that what is urgent has its turn in between.

        Raises:
            TimeoutError: the device did not come to it; or whatever predicting these pictures raises.
        """
        give_up_at = time.monotonic() + timeout_s
        with self._changed:
            room = self._room()
        parts = [pixels[start : start + room] for start in range(0, len(pixels), room)]
        waiting = [self.submit(model, part, urgent=urgent) for part in parts]
        try:
            answers = [each.result(max(0.0, give_up_at - time.monotonic())) for each in waiting]
        finally:  # no more than a look at those that are done
            for each in waiting:
                each.cancel()
        prediction = Prediction.joined([answer.prediction for answer in answers])
        return Answer(prediction, max(answer.batch_size for answer in answers))

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            batch = [request for request in batch if request.answer.set_running_or_notify_cancel()]
            if not batch:  # nobody waits for these any more
                continue
            self.busy_since = time.monotonic()
            started = time.perf_counter()
            try:
                self._answer(batch)
                pictures = sum(len(request.pixels) for request in batch)
                if pictures >= PACE_FROM:
                    self._pictures_per_s = pictures / (time.perf_counter() - started)
            except Exception:
                log.exception("a batch failed, its requests are tried one by one", requests=len(batch))
                for request in batch:
                    self._answer_alone(request)
            self.busy_since = None

    def _take(self) -> list[_Request]:
        """Take what is queued for the first model in line, up to the largest batch; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._lines) or self._closed)
            queue = self._lines.next_line()
            batch: list[_Request] = []
            room = self._room()
            while queue and (not batch or queue[0].model is batch[0].model):
                room -= len(queue[0].pixels)
                if room < 0 and batch:
                    break
                batch.append(queue.popleft())
            return batch

    def _room(self) -> int:
        """Give how many pictures a pass may have."""
        # never less than tells the pace: one slow pass would else make all that follow small
        return int(min(self._max_batch, max(PACE_FROM, self._pictures_per_s * LONGEST_PASS_S)))

    def _answer(self, batch: list[_Request]) -> None:
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([request.pixels for request in batch])
        prediction = batch[0].model.predict(pixels)
        self._on_pass(len(pixels))
        start = 0
        for request in batch:
            stop = start + len(request.pixels)
            request.answer.set_result(Answer(prediction[start:stop], len(pixels)))
            start = stop

    def _answer_alone(self, request: _Request) -> None:
        try:
            self._answer([request])
        except Exception as error:  # noqa: BLE001 - the device thread must live, and the message must hear of it
            request.answer.set_exception(error)
