import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_store.predictor import Predictor
from tests.tiny_model import tiny_model
from training.quality import entropy, judge, rank_and_spread, reconstruction_error, separation, unexplained

RNG = np.random.default_rng(0)


def cloud(scale: list[float], centre: float = 0.0) -> NDArray[np.float32]:
    """Draw (500, len(scale) + 1): a cloud of this shape around a point on the last axis."""
    around = RNG.normal(size=(500, len(scale))) * np.array(scale)
    return np.column_stack([around, np.full(500, centre)]).astype(np.float32)


def test_the_effective_rank_is_the_number_of_directions_that_are_used() -> None:
    assert rank_and_spread(cloud([1, 1, 1, 1, 1]))[0] == pytest.approx(5, abs=0.1)
    assert rank_and_spread(cloud([0.1, 0.001, 0.001, 0.001], centre=1))[0] == pytest.approx(1, abs=0.05)


def test_embeddings_that_all_but_coincide_have_no_spread_whatever_their_rank() -> None:
    rank, spread = rank_and_spread(cloud([1, 1, 1, 1], centre=1000))

    assert rank == pytest.approx(4, abs=0.1)
    assert spread < 1e-4
    assert rank_and_spread(np.ones((10, 3), np.float32)) == (1.0, 0.0)


def test_entropy_is_that_of_the_shares_whatever_their_number() -> None:
    assert entropy(np.full(4, 0.25)) == pytest.approx(1)
    assert entropy(np.full(7, 1 / 7)) == pytest.approx(1)
    assert entropy(np.array([0.97, 0.01, 0.01, 0.01])) < 0.2
    assert entropy(np.array([1.0])) == 1


def test_unexplained_and_separation_do_not_depend_on_the_scale() -> None:
    projections = cloud([1.0, 0.5])
    distances = np.linalg.norm(projections, axis=1)
    centroids = np.array([[0, 0, 0], [2, 0, 0], [0, 5, 0]], np.float32)

    assert unexplained(projections, distances) == pytest.approx(unexplained(10 * projections, 10 * distances))
    assert separation(centroids, distances) == pytest.approx(separation(10 * centroids, 10 * distances))
    assert separation(centroids, np.ones(3, np.float32)) == pytest.approx(2)
    assert separation(centroids[:1], distances) == 0


def test_all_figures_of_a_model_are_numbers() -> None:
    model = tiny_model()

    found = judge(
        Predictor(model.encoder, model.clusterer, "cpu"), model.decoder, model.clusterer, model.pixels, 0
    )

    assert np.isfinite(list(found.as_metrics().values())).all()
    assert found.accuracy is None
    assert found.smallest_size <= 1
    assert found.largest_share >= 1 / 3


def test_reconstructions_are_compared_at_the_size_that_is_asked_for() -> None:
    model = tiny_model()
    pixels = model.pixels[:8]
    with torch.inference_mode():
        embeddings = Predictor(model.encoder, model.clusterer, "cpu").embed(pixels)

    fine, coarse = (reconstruction_error(embeddings, model.decoder, pixels, side) for side in (32, 8))

    assert coarse < fine  # the noise is averaged out
