"""Every metric of a trainer, for Prometheus: read from the store when somebody asks.

So the figures outlive the process, and all trainers of a collection tell the same. docs/metrics.md lists
them; a test keeps that page and this file alike.
"""

import errno
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_store.object_store import ObjectStore
from model_store.registry import Registry
from producer.errors import ConfigurationError, NotReady, ShoalError
from training.drift import Alarm, DriftSettings
from training.drift_window import DriftWatch
from training.run_record import RunRecord
from training.runs import Runs

log = structlog.get_logger(__name__)

KEPT_S: Final = 10.0  # an answer serves all who ask within this time: the store is not to be hammered


class Metrics(Collector):
    """What stands in the store of each collection. Thread-safe."""

    def __init__(self, store: ObjectStore, collections: Sequence[str], drift: DriftSettings) -> None:
        """Ask for nothing yet."""
        self._collections = {
            name: (registry, DriftWatch(store, registry, drift), Runs(store, name))
            for name, registry in ((name, Registry(store, name)) for name in collections)
        }
        self._asking = threading.Lock()
        self._known: list[Metric] = []
        self._asked_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Ask nobody yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Ask the store, unless that was done a moment ago; of a collection that cannot be read say so."""
        with self._asking:
            if time.monotonic() - self._asked_at > KEPT_S:
                self._known, self._asked_at = self._ask(), time.monotonic()
            return self._known

    def _ask(self) -> list[Metric]:
        figures = _Figures()
        for name, (registry, drift, runs) in self._collections.items():
            try:
                champion, alarm, records = registry.alias("champion"), drift.alarm(), list(runs.all())
            except (ShoalError, ValueError) as error:
                log.warning("a collection's metrics cannot be read", collection=name, reason=str(error))
                figures.read.add_metric([name], 0)
                continue
            figures.read.add_metric([name], 1)
            if champion is not None:
                figures.generation.add_metric([name], champion.generation)
            figures.add_drift(name, alarm)
            figures.add_runs(name, records, datetime.now(UTC))
        return figures.all()


class _Figures:
    """The families, being filled."""

    def __init__(self) -> None:
        self.read = GaugeMetricFamily(
            "shoal_collection_read",
            "1 if the store told everything below of a collection, 0 if it did not",
            labels=["collection"],
        )
        self.generation = GaugeMetricFamily(
            "shoal_champion_generation", "Generation of the champion of a collection", labels=["collection"]
        )
        self.drift = GaugeMetricFamily(
            "shoal_drift",
            "Figures of the latest drift reading, by collection and figure",
            labels=["collection", "figure"],
        )
        self.level = GaugeMetricFamily(
            "shoal_drift_level",
            "The same figures on one scale: 0 is usual, 1 is the limit at which the alarm rises",
            labels=["collection", "figure"],
        )
        self.alarm = GaugeMetricFamily(
            "shoal_drift_alarm",
            "1 while the drift alarm of a collection stands, else 0",
            labels=["collection"],
        )
        self.runs = GaugeMetricFamily(
            "shoal_runs",
            "Retraining runs on record, by collection, trigger and state: running, or the verdict",
            labels=["collection", "trigger", "state"],
        )
        self.age = GaugeMetricFamily(
            "shoal_run_age_seconds",
            "Seconds since the latest run of a collection with this verdict ended; of one that is running, "
            "since it began",
            labels=["collection", "state"],
        )
        self.pictures = GaugeMetricFamily(
            "shoal_run_pictures",
            "Pictures in the corpus of the latest run of a collection that has read one",
            labels=["collection"],
        )

    def add_drift(self, name: str, alarm: Alarm | None) -> None:
        self.alarm.add_metric([name], alarm is not None and alarm.since is not None)
        for figure in alarm.reading.figures if alarm else ():
            self.drift.add_metric([name, figure.name], figure.value)
            self.level.add_metric([name, figure.name], figure.level)

    def add_runs(self, name: str, records: list[RunRecord], now: datetime) -> None:
        for (trigger, state), times in Tally((run.trigger, run.state) for run in records).items():
            self.runs.add_metric([name, trigger, state], times)
        moments = sorted((run.ended_at or run.started_at, run.state) for run in records)
        for verdict, latest in {verdict: latest for latest, verdict in moments}.items():
            self.age.add_metric([name, verdict], max(0.0, (now - latest).total_seconds()))
        read = [run for run in records if run.n_images]
        if read:
            self.pictures.add_metric([name], max(read, key=lambda run: run.started_at).n_images)

    def all(self) -> list[Metric]:
        return list(vars(self).values())


class MetricsEndpoint:
    """A small HTTP server in threads of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Answer from now on.

        Raises:
            NotReady: another process still has the port.
            ConfigurationError: the address cannot be had.
        """
        registry = CollectorRegistry()
        registry.register(metrics)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            refusal = NotReady if error.errno == errno.EADDRINUSE else ConfigurationError
            raise refusal(
                f"no metrics at {host}:{port}: {error}. Correct SHOAL_TRAINING__METRICS_PORT or _HOST"
            ) from error
        self.url = f"http://{host}:{self._server.server_port}/metrics"
        log.info("metrics endpoint", url=self.url)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
