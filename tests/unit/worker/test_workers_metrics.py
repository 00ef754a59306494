from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from producer.contracts import Lane, ModelStamp, Result
from producer.errors import BrokerUnavailable
from producer.ulid import new_ulid
from worker.metrics import Metrics
from worker.refusal import Refusal
from worker.waiting import Waiting

STAMP = ModelStamp(version="v1", sha256="0", generation=7)


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Give each figure by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def result(image_id: str, model: ModelStamp | None) -> Result:
    status = "rejected" if model else "failed"
    return Result.model_validate(
        {
            "image_id": image_id,
            "collection": "cats",
            "message_id": new_ulid(),
            "status": status,
            "model": model,
            "attempt": 1,
        }
    )


def lanes() -> Mapping[Lane, Waiting]:
    return {"bulk": Waiting(3, 12.5)}


def broker_away() -> Mapping[Lane, Waiting]:
    raise BrokerUnavailable("away")


def test_results_are_counted_by_collection_and_status() -> None:
    metrics = Metrics()
    metrics.stored("cats", [result("a", STAMP), result("b", STAMP)])
    metrics.stored("cats", [result("c", STAMP)])
    assert read(metrics)["shoal_results_total", "cats", "rejected"] == 3


def test_names_of_collections_that_strangers_made_up_are_told_as_one() -> None:
    metrics = Metrics()
    for name in ("one", "two", "three"):
        metrics.stored(name, [result("a", None)])
    results = {labels: n for labels, n in read(metrics).items() if labels[0] == "shoal_results_total"}
    assert results == {("shoal_results_total", "(no model)", "failed"): 3}


def test_pictures_are_in_hand_until_their_message_ends_however_it_ends() -> None:
    metrics = Metrics()
    seen = []

    def stumble() -> None:
        with metrics.in_hand(256):
            seen.append(read(metrics)["shoal_pictures_in_hand",])
            raise ValueError("stumbles")

    with pytest.raises(ValueError, match="stumbles"):
        stumble()
    assert [*seen, read(metrics)["shoal_pictures_in_hand",]] == [256, 0]


def test_models_and_lanes_are_told_as_they_are_when_asked() -> None:
    metrics, refused = Metrics(), dict[str, Refusal]()
    metrics.show(lambda: {"cats": STAMP}, lambda: refused, lanes)
    before = read(metrics)
    refused["cats"] = Refusal(2, 8, "encoder.safetensors is not what the manifest says")
    after = read(metrics)
    assert before["shoal_model_generation", "cats"] == 7
    assert before["shoal_lane_messages", "bulk"] == 3
    assert before["shoal_lane_oldest_seconds", "bulk"] == 12.5
    alarm = [("shoal_models_refused_total", "cats"), ("shoal_model_refused", "cats")]
    assert [before[name] for name in alarm] == [0, 0]
    assert [after[name] for name in alarm] == [2, 1]


def test_without_a_broker_all_else_is_told() -> None:
    metrics = Metrics()
    metrics.show(lambda: {"cats": STAMP}, dict, broker_away)
    told = read(metrics)
    assert told["shoal_model_generation", "cats"] == 7
    assert not [name for name, *_ in told if name.startswith("shoal_lane")]
