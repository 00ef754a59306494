"""Each stage of the worker alone, with the whole machine to itself: pictures a second.

The parts are the worker's own, as `worker.context` puts them together, and do what they do in it: message by
message, as many at once as it has threads.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.race.field import COLLECTION, Field
from model_store.bundle import Bundle
from model_store.decode import DecodeLimits, Picture
from model_store.images import ImageSource
from model_store.object_store import StoredObject
from model_store.registry import Registry
from producer.contracts import MAX_IMAGES_PER_MESSAGE, ClassifyImages, ImageRef, ModelStamp
from producer.ulid import new_ulid
from worker import pipeline
from worker.decoders import Decoders, enough_memory
from worker.pipeline import Pass, Ready
from worker.recorder import Recorder
from worker.settings import WorkerSettings

STAGES = ("fetch", "decode", "predict", "write")


@dataclass(frozen=True)
class Stages:
    """The parts, in this process."""

    field: Field
    settings: WorkerSettings
    images: ImageSource
    decoders: Decoders
    bundle: Bundle
    stamp: ModelStamp
    recorder: Recorder
    threads: ThreadPoolExecutor

    @classmethod
    def of(cls, field: Field) -> Self:
        """Make them as the worker's defaults are."""
        settings, limits = WorkerSettings(), DecodeLimits()
        registry = Registry(field.store, COLLECTION)
        alias = registry.current()
        return cls(
            field=field,
            settings=settings,
            images=ImageSource({field.uploads.bucket: field.uploads}, settings.max_image_bytes),
            decoders=Decoders(
                limits,
                settings.decode_processes,
                cpu_s=settings.decode_cpu_s,
                memory_bytes=enough_memory(limits, settings.max_image_bytes),
            ),
            bundle=registry.load(alias, "cpu"),
            stamp=ModelStamp(version=alias.version, sha256=alias.sha256, generation=alias.generation),
            recorder=Recorder(field.store, COLLECTION, settings.model_poll_s),
            threads=ThreadPoolExecutor(settings.threads),
        )

    def close(self) -> None:
        """Let go of threads and processes."""
        self.threads.shutdown()
        self.decoders.close()

    def rates(self, size: str, n: int, *, bulk: bool, name: str) -> dict[str, float]:
        """Measure each stage once, on `n` pictures; `name` is new for each call."""
        keys = self.field.keys[size]
        refs = [
            ImageRef(image_id=f"{name}-{i}", bucket=self.field.uploads.bucket, key=keys[i % len(keys)])
            for i in range(n)
        ]
        messages = [
            ClassifyImages(
                lane="bulk" if bulk else "interactive",
                job_id=name if bulk else None,
                message_id=new_ulid(),
                images=tuple(refs[first : first + MAX_IMAGES_PER_MESSAGE]),
            )
            for first in range(0, n, MAX_IMAGES_PER_MESSAGE)
        ]
        files = self._fetch(messages[0])
        pictures = self._decode(files)
        pixels = np.stack([picture.pixels for picture in pictures])
        outcomes = [
            Ready(picture, "0" * 32, "0" * 64, 1.0, 1.0)
            for picture in (pictures * MAX_IMAGES_PER_MESSAGE)[:MAX_IMAGES_PER_MESSAGE]
        ]

        def write(message: ClassifyImages) -> None:
            ready = outcomes[: len(message.images)]
            done = Pass(self.stamp, 1, self.bundle.clusters, prediction[: len(ready)], len(ready))
            results = pipeline.results(message, ready, done)
            rows = pipeline.projections(ready, done), pipeline.residuals(ready, done)
            self.recorder.record(message, results, *rows)

        prediction = self.bundle.predict(np.resize(pixels, (MAX_IMAGES_PER_MESSAGE, *pixels.shape[1:])))
        batch = np.resize(pixels, (min(n, self.settings.max_batch), *pixels.shape[1:]))
        passes = max(1, n // len(batch))
        seconds: dict[str, Callable[[], object]] = {
            "fetch": lambda: list(self.threads.map(self._fetch, messages)),
            "decode": lambda: self._decode((files * (n // len(files) + 1))[:n]),
            "predict": lambda: [self.bundle.predict(batch) for _ in range(passes)],
            "write": lambda: list(self.threads.map(write, messages)),
        }
        counts = dict.fromkeys(STAGES, n) | {"predict": passes * len(batch)}
        return {stage: counts[stage] / _took_s(work) for stage, work in seconds.items()}

    def _fetch(self, message: ClassifyImages) -> list[bytes]:
        found = [each for _, each in self.images.fetch(message.images)]
        return [each.data for each in found if isinstance(each, StoredObject)]

    def _decode(self, files: list[bytes]) -> list[Picture]:
        preprocess = self.bundle.manifest.preprocess
        answers = [self.decoders.submit(data, preprocess) for data in files]
        outcomes = [answer.result().outcome for answer in answers]
        return [outcome for outcome in outcomes if isinstance(outcome, Picture)]


def _took_s(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
