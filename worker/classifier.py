"""One message from start to stored results: gather, decide, write."""

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import numpy as np
import structlog

from model_store.byte_budget import SplitBudget
from model_store.right_of_way import RightOfWay
from producer.broker import BULK
from producer.contracts import ClassifyImages, ErrorCode, ImageRef
from producer.errors import NoChampion, ShoalError, TransientError
from worker import pipeline
from worker.batcher import Answer, Batcher
from worker.metrics import Metrics
from worker.model_cache import ModelCache, ServedModel
from worker.pipeline import Failed, Outcome, Pass, Ready
from worker.reader import MS, Reader
from worker.recorder import Recorder
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

PREDICT_TIMEOUT_S: Final = 120.0
FEW: Final = 16  # pictures: a message of so few is of somebody who waits, and of others who came meanwhile
COPIES: Final = 2  # of a decoded picture: as it came, and among those of its message


class Classifier:
    """Everything a task needs, wired. Thread-safe."""

    def __init__(
        self,
        *,
        models: ModelCache,
        reader: Reader,
        batcher: Batcher,
        recorder: Callable[[str], Recorder],
        right_of_way: RightOfWay,
        settings: WorkerSettings,
        metrics: Metrics,
    ) -> None:
        self.models = models
        self._reader = reader
        self._batcher = batcher
        self._recorder = recorder
        self._right_of_way = right_of_way
        self._settings = settings
        self._metrics = metrics
        self._decoded = SplitBudget.of(settings.bytes_in_flight // 2)

    def classify(self, message: ClassifyImages, attempt: int) -> list[ImageRef]:
        """Give every picture of the message its result; when it returns, all are stored.

        All else is held back at the store while single uploads are in work.
        Doing a message twice leaves what doing it once does.

        Returns:
            The references whose result is `failed`, since this was the last attempt.

        Raises:
            NoChampion: the collection has no model yet.
            TransientError: try the message again later; what was stored meanwhile stays right. On the
                last attempt pictures that could not be done get a `failed` result instead.
        """
        taken_at = datetime.now(UTC)
        # a renewal by a model that is no longer the champion would be no renewal
        model = self.models.get(message.collection, self._settings.model_wait_s, latest=message.reclassify)
        urgent = message.lane != BULK and len(message.images) <= FEW
        way = self._right_of_way.urgent() if urgent else contextlib.nullcontext()
        with self._metrics.in_hand(len(message.images)), way:
            return self._classify(message, attempt, model, taken_at, urgent=urgent)

    def _classify(
        self, message: ClassifyImages, attempt: int, model: ServedModel, taken_at: datetime, *, urgent: bool
    ) -> list[ImageRef]:
        last = attempt >= self._settings.max_attempts
        side = model.bundle.manifest.preprocess.input_size
        room = self._decoded.of_whom(urgent=urgent)
        with room.held(COPIES * len(message.images) * side * side * 3):
            outcomes = self._read(message, model, last=last, urgent=urgent)
            answer, predict_ms = self._predict(model, outcomes, last=last, urgent=urgent)
        done = Pass(
            stamp=model.stamp,
            clusters=model.bundle.clusters,
            prediction=answer.prediction if answer else None,
            batch_size=answer.batch_size if answer else 0,
            queued_ms=max(0.0, (taken_at - message.submitted_at).total_seconds() * MS),
            predict_ms=predict_ms,
            attempt=attempt,
        )
        self._write(message, outcomes, done)
        self._say(message, outcomes, done, taken_at)
        pairs = zip(message.images, outcomes, strict=True)
        return [ref for ref, outcome in pairs if isinstance(outcome, Failed)]

    def fail(self, message: ClassifyImages, attempt: int, code: ErrorCode, detail: str) -> None:
        """Give every picture of the message a `failed` result: it will not be done."""
        outcomes: list[Outcome] = [Failed(code, detail)] * len(message.images)
        try:  # without a stamp an older result would stay
            stamp = self.models.get(message.collection, 0.0).stamp
        except NoChampion:
            stamp = None
        self._write(message, outcomes, Pass(stamp=stamp, attempt=attempt))

    def close(self) -> None:
        """Finish what is on the device, let go of threads."""
        self._batcher.close()
        self._reader.close()
        self.models.close()

    def _write(self, message: ClassifyImages, outcomes: list[Outcome], done: Pass) -> None:
        results = pipeline.results(message, outcomes, done)
        started = time.perf_counter()
        self._recorder(message.collection).record(
            message, results, pipeline.projections(outcomes, done), pipeline.residuals(outcomes, done)
        )
        self._metrics.took("write", time.perf_counter() - started)
        self._metrics.stored(message.collection, results)

    def _read(
        self, message: ClassifyImages, model: ServedModel, *, last: bool, urgent: bool
    ) -> list[Outcome]:
        preprocess = model.bundle.manifest.preprocess
        read = self._reader.read(message, preprocess, stop_at_error=not last, urgent=urgent)
        outcomes: list[Outcome] = []
        for outcome in read:
            if not isinstance(outcome, ShoalError):
                outcomes.append(outcome)
            elif last:
                outcomes.append(Failed("internal", f"the picture could not be read: {outcome}"))
            else:
                raise outcome
        return outcomes

    def _predict(
        self, model: ServedModel, outcomes: list[Outcome], *, last: bool, urgent: bool
    ) -> tuple[Answer | None, float]:
        """Predict the ready pictures; on the last attempt a failure turns them into `Failed`, in place."""
        ready = [outcome for outcome in outcomes if isinstance(outcome, Ready)]
        if not ready:
            return None, 0.0
        self._metrics.took("fetch", max(outcome.fetch_ms for outcome in ready) / MS)
        self._metrics.took("decode", sum(outcome.decode_ms for outcome in ready) / MS)
        started = time.perf_counter()
        pixels = np.stack([outcome.picture.pixels for outcome in ready])  # (n, S, S, 3)
        try:
            answer = self._batcher.ask(model.bundle, pixels, PREDICT_TIMEOUT_S, urgent=urgent)
        except Exception as error:
            if not last:
                raise TransientError(f"the device did not answer: {type(error).__name__}: {error}") from error
            log.exception("pictures fail, the device does not answer for them", pictures=len(ready))
            outcomes[:] = [
                Failed("internal", "the model could not be run on this picture")
                if isinstance(o, Ready)
                else o
                for o in outcomes
            ]
            return None, 0.0
        took_s = time.perf_counter() - started
        self._metrics.took("predict", took_s)
        return answer, took_s * MS

    @staticmethod
    def _say(message: ClassifyImages, outcomes: list[Outcome], done: Pass, taken_at: datetime) -> None:
        ready = sum(isinstance(outcome, Ready) for outcome in outcomes)
        log.info(
            "message done",
            collection=message.collection,
            pictures=len(outcomes),
            refused=len(outcomes) - ready,
            model=done.stamp.version if done.stamp else None,
            batch=done.batch_size,
            queued_ms=round(done.queued_ms),
            took_ms=round((datetime.now(UTC) - taken_at).total_seconds() * MS),
        )
