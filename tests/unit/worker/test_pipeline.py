import numpy as np
import pytest

from model_store.admission import Undecodable
from model_store.bundle_files import ClusterEntry
from model_store.decode import Picture
from model_store.images import Unfetchable
from model_store.predictor import Prediction
from producer.contracts import ClassifyImages, ImageRef, ModelStamp
from worker.pipeline import Failed, Outcome, Pass, Ready, projections, residuals, results

CLUSTERS = tuple(ClusterEntry(index=i, id=f"c_{i}") for i in range(3))
STAMP = ModelStamp(version="v1", sha256="s", generation=7)


def message(n: int) -> ClassifyImages:
    refs = tuple(ImageRef(image_id=f"img_{i}", bucket="uploads", key=f"{i}.png") for i in range(n))
    return ClassifyImages(images=refs)


def ready(width: int = 10) -> Ready:
    return Ready(Picture(np.zeros((4, 4, 3), np.uint8), width, 20, "PNG"), "etag", "sha", 1.0, 2.0)


def prediction(*rows: tuple[int, float, bool]) -> Prediction:
    """A row: nearest cluster, distance, unknown; the second nearest lies 0.5 farther."""
    nearest = np.array([[k, (k + 1) % 3] for k, _, _ in rows])
    distances = np.array([[d, d + 0.5] for _, d, _ in rows], np.float32)
    unknown = np.array([u for _, _, u in rows])
    return Prediction(
        distances,
        nearest,
        distances,
        np.full(len(rows), 0.25, np.float32),
        unknown,
        distances[:, 0] * np.float32(0.125),
    )


MIXED: list[Outcome] = [
    Unfetchable("fetch.not_found", "gone"),
    ready(),
    Undecodable("decode.corrupt", "broken"),
    ready(),
    Failed("internal", "ours"),
]


def test_every_reference_gets_one_result_in_its_place() -> None:
    done = Pass(
        stamp=STAMP, attempt=1, clusters=CLUSTERS, prediction=prediction((2, 1.0, False), (0, 9.0, True))
    )
    answers = results(message(5), MIXED, done)
    assert [a.image_id for a in answers] == [f"img_{i}" for i in range(5)]
    assert [a.status for a in answers] == ["rejected", "assigned", "rejected", "unknown", "failed"]
    assert [a.error.code if a.error else None for a in answers] == [
        "fetch.not_found", None, "decode.corrupt", None, "internal",
    ]  # fmt: skip


def test_a_predicted_picture_tells_cluster_margin_and_alternatives() -> None:
    done = Pass(STAMP, 3, CLUSTERS, prediction((2, 1.0, False)), batch_size=9, queued_ms=4.0, predict_ms=5.0)
    (answer,) = results(message(1), [ready()], done)
    assert answer.cluster is not None
    assert (answer.cluster.id, answer.cluster.index) == ("c_2", 2)
    assert answer.margin == pytest.approx(0.5)
    assert [a.id for a in answer.alternatives] == ["c_0"]
    assert answer.alternatives[0].distance == pytest.approx(1.5)
    assert (answer.model, answer.attempt, answer.batch_size) == (STAMP, 3, 9)
    assert answer.input is not None
    assert (answer.input.width, answer.input.format, answer.input.sha256) == (10, "PNG", "sha")


def test_a_model_of_one_cluster_has_no_margin() -> None:
    one = Prediction(*(np.zeros((1, 1), np.float32),), nearest=np.zeros((1, 1), np.int64),
                     distances=np.ones((1, 1), np.float32), typicality=np.zeros(1, np.float32),
                     unknown=np.zeros(1, bool), residuals=np.zeros(1, np.float32))  # fmt: skip
    (answer,) = results(message(1), [ready()], Pass(STAMP, 1, CLUSTERS[:1], one))
    assert answer.margin is None
    assert answer.alternatives == ()


def test_residuals_stand_beside_the_pictures_that_have_one() -> None:
    done = Pass(STAMP, 1, CLUSTERS, prediction((2, 1.0, False), (0, 4.0, True)))
    assert residuals(MIXED, done) == [None, 0.125, None, 0.5, None]


def test_projections_stand_beside_the_pictures_that_have_one() -> None:
    done = Pass(STAMP, 1, CLUSTERS, prediction((2, 1.0, False), (0, 9.0, True)))
    rows = projections(MIXED, done)
    assert [row is None for row in rows] == [True, False, True, False, True]
    assert rows[3] is not None
    assert rows[3].tolist() == [9.0, 9.5]


def test_fewer_outcomes_than_references_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="shorter"):
        results(message(2), [Failed("internal", "x")], Pass(None, 1))
