"""docs/metrics.md lists what the processes tell, in the order and the words in which they tell it."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from model_store.object_store import MemoryStore
from training.drift import DriftSettings
from training.metrics import Metrics as TrainersMetrics
from worker.metrics import Metrics as WorkersMetrics

DOC = Path(__file__).parents[2] / "docs" / "metrics.md"


def of_a_worker() -> Iterable[Metric]:
    metrics = WorkersMetrics()
    metrics.show(dict, dict, dict)
    return metrics.families()


def of_a_trainer() -> Iterable[Metric]:
    return TrainersMetrics(MemoryStore(), [], DriftSettings()).collect()


def row(metric: Metric) -> str:
    name = metric.name + ("_total" if metric.type == "counter" else "")
    return f"| `{name}` | {metric.type} | {metric.documentation} |"


@pytest.mark.parametrize(("process", "told"), [("Worker", of_a_worker), ("Trainer", of_a_trainer)])
def test_the_document_lists_every_metric_as_it_is(process: str, told: "type[Iterable[Metric]]") -> None:
    section = re.split(r"^## ", DOC.read_text(), flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(process + "\n")]
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert listed == [row(metric) for metric in told() if metric.name.startswith("shoal_")]
