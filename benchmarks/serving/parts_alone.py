"""The parts of one single upload's way, each by itself and with nothing else going on."""

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.serving.served import Served, picture
from model_store.admission import DecodeLimits
from model_store.decode import Picture
from model_store.images import ImageSource
from model_store.registry import Registry
from producer.broker import BULK, CLASSIFY, INTERACTIVE, lease_client
from producer.client import Producer
from producer.contracts import ClassifyImages, Result
from producer.envelope import read
from producer.leases import Lease, Leases
from producer.ulid import new_ulid
from worker import pipeline
from worker.attempts import Attempts
from worker.batcher import Batcher
from worker.decoders import Decoders, enough_memory
from worker.pipeline import Pass, Ready
from worker.recorder import Recorder
from worker.settings import WorkerSettings

REPEATS, MS = 60, 1000.0


def milliseconds(work: Callable[[int], Any]) -> float:
    """Median of some repeats, after one to warm up."""
    taken = []
    for number in range(REPEATS + 1):
        started = time.perf_counter()
        work(number)
        taken.append(MS * (time.perf_counter() - started))
        time.sleep(0.01)
    return statistics.median(taken[1:])


def parts_alone(platform: Served) -> dict[str, float]:
    """Median milliseconds of each part; leaves the lanes empty."""
    worker, limits = WorkerSettings(), DecodeLimits()
    registry = Registry(platform.store, "default")
    bundle = registry.load(registry.current(), "cpu")
    preprocess = bundle.manifest.preprocess
    recorder = Recorder(platform.store, "default", worker.model_poll_s)
    source = ImageSource({platform.uploads.bucket: platform.uploads}, worker.max_image_bytes)
    refs = platform.some(REPEATS + 1, "alone")
    with contextlib.ExitStack() as undo:
        producer = undo.enter_context(Producer(platform.broker))
        client = undo.enter_context(contextlib.closing(lease_client(platform.broker)))
        leases, attempts = Leases(client, 600), Attempts(client)
        decoders = Decoders(
            limits, 1, cpu_s=worker.decode_cpu_s, memory_bytes=enough_memory(limits, worker.max_image_bytes)
        )
        batcher = Batcher(worker.max_batch)
        undo.callback(decoders.close)
        undo.callback(batcher.close)

        def take(_: int) -> Lease:
            name = leases.new_name()
            lane, raw = client.execute_command(*leases.reserve_command(name, [INTERACTIVE, BULK]))
            lease = Lease(name, lane.decode(), raw, read(raw, (CLASSIFY,)))
            attempts.begin(lease, new_ulid())
            return lease

        found = {"publish": milliseconds(lambda n: producer.submit(refs[n]).result(30))}
        found["take"] = milliseconds(take)
        client.flushdb()
        found["fetch"] = milliseconds(lambda n: list(source.fetch([refs[n]])))
        data = picture(0)
        found["decode"] = milliseconds(lambda _: decoders.submit(data, preprocess).result(30))
        decoded = decoders.submit(data, preprocess).result(30).outcome
        if not isinstance(decoded, Picture):
            raise TypeError(decoded)
        found["predict"] = milliseconds(
            lambda _: batcher.submit(bundle, decoded.pixels[None], urgent=True).result(30)
        )
        prediction = bundle.predict(decoded.pixels[None])
        ready, done = Ready(decoded, "etag", "0" * 64, 0.0, 0.0), Pass(None, 1, bundle.clusters, prediction)

        def write(number: int) -> None:
            message = ClassifyImages(images=(refs[number],))
            results: list[Result] = pipeline.results(message, [ready], done)
            recorder.record(
                message, results, pipeline.projections([ready], done), pipeline.residuals([ready], done)
            )

        found["write"] = milliseconds(write)
        leases.close()
    return {name: round(each, 2) for name, each in found.items()}
