"""Every metric of a worker, for Prometheus: counted once per message or pass, or read when somebody asks.

docs/metrics.md lists them; a test keeps that page and this file alike.
"""

import contextlib
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from producer.contracts import Lane, ModelStamp, Result
from producer.errors import ShoalError
from worker.refusal import Refusal
from worker.waiting import Waiting

log = structlog.get_logger(__name__)

Stage = Literal["fetch", "decode", "predict", "write"]
Letter = Literal["unreadable", "refused", "given up"]

NO_MODEL: Final = "(no model)"  # strangers may make up names of collections without end
BATCH_PICTURES: Final = tuple(float(2**n) for n in range(11))
STAGE_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """What one worker process counts. Thread-safe."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._results = Counter(
            "shoal_results",
            "Results stored, by collection and status; a message done twice counts twice. Without a model "
            f"the collection is {NO_MODEL}",
            ["collection", "status"],
            registry=self._registry,
        )
        self._in_hand = Gauge(
            "shoal_pictures_in_hand", "Pictures of messages in work", registry=self._registry
        )
        self._batches = Histogram(
            "shoal_batch_pictures",
            "Pictures in one pass of the device",
            buckets=BATCH_PICTURES,
            registry=self._registry,
        )
        self._stages = Histogram(
            "shoal_stage_seconds",
            "Seconds that a message spent in a stage: fetch until its last picture was there; decode, of all "
            "its pictures together; predict, with the wait for the device; write",
            ["stage"],
            buckets=STAGE_S,
            registry=self._registry,
        )
        self._attempts = Counter(
            "shoal_attempts",
            "Attempts begun at messages: one for each when all is well, more while a model is waited for",
            registry=self._registry,
        )
        self._failed_attempts = Counter(
            "shoal_failed_attempts",
            "Attempts that ended in an error, after which the message comes again",
            registry=self._registry,
        )
        self._dead = Counter(
            "shoal_dead_letters",
            "Messages kept under dead/, by why: unreadable, refused (breaks the contract, or not rightly "
            "signed), given up",
            ["why"],
            registry=self._registry,
        )
        for why in get_args(Letter):
            self._dead.labels(why)  # so that the first is a rise from 0

    def show(
        self,
        serving: Callable[[], Mapping[str, ModelStamp]],
        refused: Callable[[], Mapping[str, Refusal]],
        lanes: Callable[[], Mapping[Lane, Waiting]],
    ) -> None:
        """Show these too, as they are whenever somebody asks."""
        self._registry.register(_AsAsked(serving, refused, lanes))

    def stored(self, collection: str, results: Sequence[Result]) -> None:
        """Count the results of a message."""
        known = any(result.model for result in results)
        for status, times in Tally(result.status for result in results).items():
            self._results.labels(collection if known else NO_MODEL, status).inc(times)

    def took(self, stage: Stage, seconds: float) -> None:
        """Note how long a message spent in a stage."""
        self._stages.labels(stage).observe(seconds)

    @contextlib.contextmanager
    def in_hand(self, pictures: int) -> Iterator[None]:
        """Count pictures as in hand until the block is left."""
        self._in_hand.inc(pictures)
        try:
            yield
        finally:
            self._in_hand.dec(pictures)

    def passed(self, pictures: int) -> None:
        """Note a pass of the device."""
        self._batches.observe(pictures)

    def attempt_begun(self) -> None:
        """Count an attempt."""
        self._attempts.inc()

    def attempt_failed(self) -> None:
        """Count an attempt that ended in an error."""
        self._failed_attempts.inc()

    def letter_kept(self, why: Letter) -> None:
        """Count a message that is kept as dead."""
        self._dead.labels(why).inc()

    def families(self) -> Iterable[Metric]:
        """Give every metric with its help and what it stands at."""
        return self._registry.collect()

    def text(self) -> bytes:
        """Write all of them in Prometheus's text format."""
        return generate_latest(self._registry)


class _AsAsked(Collector):
    """Models and lanes, read at each question: nothing is counted twice, nothing is out of date."""

    def __init__(
        self,
        serving: Callable[[], Mapping[str, ModelStamp]],
        refused: Callable[[], Mapping[str, Refusal]],
        lanes: Callable[[], Mapping[Lane, Waiting]],
    ) -> None:
        self._serving = serving
        self._refused = refused
        self._lanes = lanes

    def describe(self) -> Iterable[Metric]:
        """Ask nobody yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Ask now; without a broker nothing is said of the lanes."""
        generation = GaugeMetricFamily(
            "shoal_model_generation",
            "Generation of the champion that a collection is served with",
            labels=["collection"],
        )
        for name, stamp in self._serving().items():
            generation.add_metric([name], stamp.generation)
        ever = CounterMetricFamily(
            "shoal_models_refused",
            "Champions that did not load or answer, by collection: the model before serves on",
            labels=["collection"],
        )
        now = GaugeMetricFamily(
            "shoal_model_refused", "1 while the present champion is refused, else 0", labels=["collection"]
        )
        for name, refusal in {**dict.fromkeys(self._serving(), Refusal()), **self._refused()}.items():
            ever.add_metric([name], refusal.total)
            now.add_metric([name], refusal.generation is not None)
        yield from (generation, ever, now, *self._waiting())

    def _waiting(self) -> Iterable[Metric]:
        messages = GaugeMetricFamily("shoal_lane_messages", "Messages that wait in a lane", labels=["lane"])
        oldest = GaugeMetricFamily(
            "shoal_lane_oldest_seconds",
            "Seconds for which the next message of a lane has waited, by its sender's clock; 0 if none does",
            labels=["lane"],
        )
        try:
            found = self._lanes()
        except ShoalError as error:
            log.warning("what waits cannot be told", reason=str(error))
            found = {}
        for lane, seen in found.items():
            messages.add_metric([lane], seen.messages)
            oldest.add_metric([lane], seen.oldest_s)
        return messages, oldest
