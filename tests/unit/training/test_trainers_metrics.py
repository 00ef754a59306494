import contextlib
import socket
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_store.alias import Alias
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from producer.errors import ConfigurationError, NotReady
from training import metrics as metrics_module
from training.drift import Alarm, DriftSettings, Figure, Reading
from training.metrics import Metrics, MetricsEndpoint
from training.run_record import RunRecord

NOW = datetime.now(UTC)
LAYOUT = Layout("cats")
OF_NOBODY = "192.0.2.1"  # RFC 5737: in documents only


@pytest.fixture
def asked(store: MemoryStore) -> Callable[[], dict[tuple[str, ...], float]]:
    """Ask a trainer's endpoint; gives figures by name and labels, those in their names' order."""

    def ask() -> dict[tuple[str, ...], float]:
        endpoint = MetricsEndpoint(Metrics(store, ["cats", "dogs"], DriftSettings()), "127.0.0.1", 0)
        with contextlib.closing(endpoint), urllib.request.urlopen(endpoint.url, timeout=20) as answer:  # noqa: S310
            families = list(text_string_to_metric_families(answer.read().decode()))
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    return ask


def put_run(store: MemoryStore, slot: str, hours_ago: float, **more: object) -> None:
    moment = datetime.now(UTC) - timedelta(hours=hours_ago)
    fields = {"collection": "cats", "slot": slot, "started_at": moment, "ended_at": moment, **more}
    store.put(LAYOUT.run(slot), RunRecord.model_validate(fields).model_dump_json().encode())


def put_drift(store: MemoryStore, since: datetime | None) -> None:
    figure = Figure(name="unknown", value=0.3, usual=0.1, limit=0.2)
    reading = Reading(version="v1", n_images=1000, figures=(figure,))
    alarm = Alarm(reading=reading, read_at=NOW, since=since)
    store.put(LAYOUT.drift(), alarm.model_dump_json().encode())


def test_runs_are_told_by_trigger_and_verdict_with_the_age_of_the_latest(
    store: MemoryStore, asked: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    put_run(store, "one", 48, state="promoted", trigger="schedule", n_images=500)
    put_run(store, "two", 24, state="promoted", trigger="schedule", n_images=700)
    put_run(store, "three", 2, state="skipped", trigger="volume")
    told = asked()
    assert told["shoal_runs", "cats", "promoted", "schedule"] == 2
    assert told["shoal_runs", "cats", "skipped", "volume"] == 1
    assert told["shoal_run_age_seconds", "cats", "promoted"] == pytest.approx(24 * 3600, abs=600)
    assert told["shoal_run_age_seconds", "cats", "skipped"] == pytest.approx(2 * 3600, abs=600)
    assert told["shoal_run_pictures", "cats"] == 700


def test_drift_and_its_alarm_are_told_on_one_scale(
    store: MemoryStore, asked: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    assert asked()["shoal_drift_alarm", "cats"] == 0  # nothing was read yet
    put_drift(store, None)
    calm = asked()
    put_drift(store, NOW)
    told = asked()
    assert [calm["shoal_drift_alarm", "cats"], told["shoal_drift_alarm", "cats"]] == [0, 1]
    assert told["shoal_drift", "cats", "unknown"] == pytest.approx(0.3)
    assert told["shoal_drift_level", "cats", "unknown"] == pytest.approx(2)


def test_a_collection_that_cannot_be_read_is_said_and_hides_no_other(
    store: MemoryStore, asked: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    champion = Alias(version="v1", sha256="0" * 64, generation=3)
    store.put(LAYOUT.alias("champion"), champion.model_dump_json().encode())
    store.put(Layout("dogs").drift(), b"cut sho")
    told = asked()
    assert told["shoal_champion_generation", "cats"] == 3
    assert [told["shoal_collection_read", name] for name in ("cats", "dogs")] == [1, 0]


def test_many_who_ask_cost_the_store_one_question(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Metrics(store, ["cats"], DriftSettings())
    list(figures.collect())
    monkeypatch.setattr(store, "get", pytest.fail)
    assert list(figures.collect())
    monkeypatch.undo()
    monkeypatch.setattr(metrics_module, "KEPT_S", -1.0)
    put_drift(store, NOW)
    alarm = {metric.name: metric for metric in figures.collect()}["shoal_drift_alarm"]
    assert [sample.value for sample in alarm.samples] == [1]


def test_a_taken_port_may_be_free_later_and_an_address_of_elsewhere_never_is_ours(store: MemoryStore) -> None:
    metrics = Metrics(store, [], DriftSettings())
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NotReady, match="METRICS_PORT"):
        MetricsEndpoint(metrics, "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigurationError, match="METRICS_PORT or _HOST"):
        MetricsEndpoint(metrics, OF_NOBODY, 0)
