from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from model_store.clusterer import QUANTILES, Assignment, Clusterer, unit_length
from model_store.predictor import N_NEAREST, Prediction, Predictor
from tests.tiny_model import N_CLUSTERS, TinyModel, tiny_model, tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")

FLOATS = ("projections", "distances", "typicality")


@pytest.fixture(scope="module")
def model() -> TinyModel:
    """A model that calls about half of the pictures unknown."""
    made = tiny_model(n_clusters=6)
    projections = made.clusterer.project(
        embedded := Predictor(made.encoder, made.clusterer, "cpu").embed(made.pixels)
    )
    residuals = made.clusterer.residuals(embedded, projections)
    strange = made.clusterer.strangeness(made.clusterer.assign(projections), residuals)
    middle = made.clusterer.unknown_distance * np.median(strange)
    return replace(made, clusterer=replace(made.clusterer, unknown_distance=middle))


@pytest.fixture(scope="module")
def predictor(model: TinyModel) -> Predictor:
    return Predictor(model.encoder, model.clusterer, "cpu")


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """Pictures that the model was not fitted on."""
    return tiny_pixels(90, seed=7)


def reference(embeddings: NDArray[np.float32], clusterer: Clusterer) -> Prediction:
    """Predict in float64, a row at a time."""
    exact = embeddings.astype(np.float64)
    unit = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    projections = (unit - clusterer.mean) @ clusterer.components.astype(np.float64).T
    all_distances = np.linalg.norm(projections[:, None] - clusterer.centroids[None], axis=2)  # (B, K)
    nearest = all_distances.argsort(axis=1)[:, :N_NEAREST]
    distances = np.take_along_axis(all_distances, nearest, axis=1)
    farther = [
        np.mean(clusterer.distance_quantiles[k][1:] >= distance)
        for k, distance in zip(nearest[:, 0], distances[:, 0], strict=True)
    ]
    residuals = np.square(unit - clusterer.mean - projections @ clusterer.components).sum(axis=1)
    radii = np.sqrt(distances[:, 0] ** 2 + clusterer.residual_weight * residuals)
    unknown = radii > clusterer.unknown_distance[nearest[:, 0]]
    return Prediction(
        projections.astype(np.float32),
        nearest,
        distances.astype(np.float32),
        np.array(farther, np.float32),
        unknown,
        residuals.astype(np.float32),
    )


def test_prediction_equals_a_float64_reference(
    model: TinyModel, predictor: Predictor, pixels: NDArray[np.uint8]
) -> None:
    prediction = predictor(pixels)

    expected = reference(predictor.embed(pixels), model.clusterer)
    np.testing.assert_array_equal(prediction.nearest, expected.nearest)
    np.testing.assert_allclose(prediction.projections, expected.projections, atol=2e-6)
    np.testing.assert_allclose(prediction.distances, expected.distances, atol=2e-6)
    np.testing.assert_allclose(prediction.typicality, expected.typicality, atol=0.0101)  # one quantile
    np.testing.assert_allclose(prediction.residuals, expected.residuals, atol=2e-6)
    nearest = Assignment(expected.nearest[:, 0], expected.distances[:, 0])
    strange = model.clusterer.strangeness(nearest, expected.residuals)
    clear = np.abs(strange - 1) > 1e-3
    np.testing.assert_array_equal(prediction.unknown[clear], expected.unknown[clear])
    assert clear.mean() > 0.9
    assert prediction.residuals.min() > 0
    assert 0 < prediction.unknown.mean() < 1
    assert prediction.typicality.max() - prediction.typicality.min() > 0.8


def test_prediction_equals_the_clusterer_in_numpy(
    model: TinyModel, predictor: Predictor, pixels: NDArray[np.uint8]
) -> None:
    prediction = predictor(pixels)

    projections = model.clusterer.project(predictor.embed(pixels))
    assignment = model.clusterer.assign(projections)
    np.testing.assert_array_equal(prediction.nearest[:, 0], assignment.indices)
    np.testing.assert_allclose(prediction.distances[:, 0], assignment.distances, atol=2e-6)
    np.testing.assert_allclose(prediction.projections, projections, atol=2e-6)
    residuals = model.clusterer.residuals(predictor.embed(pixels), projections)
    np.testing.assert_allclose(prediction.residuals, residuals, atol=2e-6)
    strange = model.clusterer.strangeness(assignment, residuals)
    clear = np.abs(strange - 1) > 1e-3
    np.testing.assert_array_equal(prediction.unknown[clear], (strange > 1)[clear])


def test_labels_from_pixels_equal_sklearns(model: TinyModel, pixels: NDArray[np.uint8]) -> None:
    embed = Predictor(model.encoder, model.clusterer, "cpu").embed
    seen, fresh = unit_length(embed(model.pixels)), unit_length(embed(pixels))
    pca = PCA(4, random_state=0).fit(seen)
    kmeans = KMeans(5, n_init=3, random_state=0).fit(pca.transform(seen).astype(np.float32))
    clusterer = Clusterer(
        mean=pca.mean_.astype(np.float32),
        components=np.ascontiguousarray(pca.components_, np.float32),
        explained_variance=pca.explained_variance_.astype(np.float32),
        centroids=np.ascontiguousarray(kmeans.cluster_centers_, np.float32),
        counts=np.bincount(kmeans.labels_),
        distance_quantiles=np.zeros((5, len(QUANTILES)), np.float32),
        unknown_distance=np.zeros(5, np.float32),
    )

    labels = Predictor(model.encoder, clusterer, "cpu")(pixels).nearest[:, 0]

    np.testing.assert_array_equal(labels, kmeans.predict(pca.transform(fresh).astype(np.float32)))
    assert len(set(labels.tolist())) > 1


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_does_not_matter(
    predictor: Predictor, pixels: NDArray[np.uint8], batch_size: int
) -> None:
    whole = predictor(pixels)

    parts = [predictor(pixels[at : at + batch_size]) for at in range(0, len(pixels), batch_size)]

    for name in FLOATS:
        together = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(
            together, getattr(whole, name), atol=0.0101 if name == "typicality" else 1e-5
        )
    np.testing.assert_array_equal(np.concatenate([part.nearest for part in parts]), whole.nearest)


def test_neighbours_in_a_batch_do_not_matter(predictor: Predictor, pixels: NDArray[np.uint8]) -> None:
    alone = predictor(pixels[:1])
    black, white = np.zeros_like(pixels[:20]), np.full_like(pixels[:20], 255)

    among_others = predictor(np.concatenate([black, pixels[:1], white]))[20:21]

    np.testing.assert_allclose(among_others.distances, alone.distances, atol=1e-5)
    np.testing.assert_array_equal(among_others.nearest, alone.nearest)


def test_the_nearest_come_sorted_and_at_most_four(predictor: Predictor, pixels: NDArray[np.uint8]) -> None:
    prediction = predictor(pixels)

    assert prediction.nearest.shape == prediction.distances.shape == (90, 4)
    assert (np.diff(prediction.distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 4 for row in prediction.nearest.tolist())


@pytest.mark.parametrize("n_clusters", [1, N_CLUSTERS])
def test_fewer_clusters_than_four_give_as_many_as_there_are(n_clusters: int) -> None:
    few = tiny_model(n_clusters=n_clusters)

    prediction = Predictor(few.encoder, few.clusterer, "cpu")(few.pixels[:5])

    assert prediction.nearest.shape == (5, n_clusters)


def test_a_pictures_typicality_is_the_share_farther_out(model: TinyModel, predictor: Predictor) -> None:
    prediction = predictor(model.pixels[:40])  # what the quantiles were taken of

    for k in range(len(model.clusterer.centroids)):
        own = prediction.nearest[:, 0] == k
        distances, typicality = prediction.distances[own, 0], prediction.typicality[own]
        assert (np.diff(typicality[distances.argsort()]) <= 0).all()  # farther out is less typical
        assert typicality[distances.argmax()] <= 0.011
    assert prediction.typicality.min() >= 0
    assert prediction.typicality.max() <= 1


def test_rows_of_a_prediction_are_a_prediction(predictor: Predictor, pixels: NDArray[np.uint8]) -> None:
    prediction = predictor(pixels)

    some = prediction[3:5]

    assert len(some) == 2
    np.testing.assert_array_equal(some.projections, prediction.projections[3:5])
    np.testing.assert_array_equal(some.unknown, prediction.unknown[3:5])


def test_pictures_and_model_are_left_as_they_were(
    model: TinyModel, predictor: Predictor, pixels: NDArray[np.uint8]
) -> None:
    given, centroids = pixels.copy(), model.clusterer.centroids.copy()

    first, second = predictor(given), predictor(given)

    np.testing.assert_array_equal(given, pixels)
    np.testing.assert_array_equal(model.clusterer.centroids, centroids)
    np.testing.assert_array_equal(first.distances, second.distances)  # batch norm has learnt nothing
