import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from model_store.clusterer import QUANTILES, Clusterer, unit_length
from producer.errors import BundleInvalid

D, P, K = 16, 5, 6
ARRAYS = [field.name for field in fields(Clusterer)]
Floats = NDArray[np.float32]


def embeddings(n: int, seed: int = 0) -> Floats:
    """Draw (n, D) of any length, around K directions."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(K, D))
    return np.asarray(
        (directions[rng.integers(K, size=n)] + rng.normal(0, 0.3, (n, D))) * rng.uniform(0.1, 50, (n, 1)),
        np.float32,
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[PCA, KMeans]:
    """Scikit-learn's own, fitted on normalised embeddings."""
    unit = unit_length(embeddings(300))
    pca = PCA(P, random_state=0).fit(unit)
    return pca, KMeans(K, n_init=3, random_state=0).fit(pca.transform(unit).astype(np.float32))


@pytest.fixture(scope="module")
def clusterer(fitted: tuple[PCA, KMeans]) -> Clusterer:
    pca, kmeans = fitted
    return Clusterer(
        mean=pca.mean_.astype(np.float32),
        components=np.ascontiguousarray(pca.components_, np.float32),
        explained_variance=pca.explained_variance_.astype(np.float32),
        centroids=np.ascontiguousarray(kmeans.cluster_centers_, np.float32),
        counts=np.bincount(kmeans.labels_),
        distance_quantiles=np.tile(QUANTILES, (K, 1)),
        unknown_distance=np.ones(K, np.float32),
    )


def test_project_equals_sklearn(fitted: tuple[PCA, KMeans], clusterer: Clusterer) -> None:
    fresh = embeddings(500, seed=1)

    projections = clusterer.project(fresh)

    np.testing.assert_allclose(projections, fitted[0].transform(unit_length(fresh)), atol=1e-6)
    assert projections.dtype == np.float32


def test_assign_equals_sklearn(fitted: tuple[PCA, KMeans], clusterer: Clusterer) -> None:
    pca, kmeans = fitted
    fresh = embeddings(500, seed=1)
    expected = np.ascontiguousarray(pca.transform(unit_length(fresh)), np.float32)

    assignment = clusterer.assign(clusterer.project(fresh))

    np.testing.assert_array_equal(assignment.indices, kmeans.predict(expected))
    np.testing.assert_allclose(assignment.distances, kmeans.transform(expected).min(axis=1), atol=1e-5)
    assert len(set(assignment.indices.tolist())) == K
    assert assignment.distances.dtype == np.float32


def test_distances_of_near_twins_keep_their_digits() -> None:
    # |x|2 - 2xc + |c|2 in float32 would give 0 here, or worse
    far = np.full((1, P), 1000.0, np.float32)
    near_twins = np.concatenate([far, far + np.float32(0.01)])
    clusterer = replace(
        make(2), centroids=near_twins, components=np.eye(P, D, dtype=np.float32), mean=np.zeros(D, np.float32)
    )

    assignment = clusterer.assign(far + np.float32(0.008))

    assert assignment.indices.tolist() == [1]
    np.testing.assert_allclose(assignment.distances, 0.002 * np.sqrt(P), rtol=0.05)


def test_many_rows_are_assigned_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    clusterer = replace(make(400), centroids=rng.normal(size=(400, P)).astype(np.float32))
    projections = rng.normal(size=(20_000, P)).astype(np.float32)  # (20,000, 400, P) would be 160 MB

    tracemalloc.start()
    assignment = clusterer.assign(projections)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 60 * 2**20
    for row in (0, 9_999, 19_999):
        alone = clusterer.assign(projections[row : row + 1])
        assert (assignment.indices[row], assignment.distances[row]) == (alone.indices[0], alone.distances[0])


def make(k: int) -> Clusterer:
    """Make a clusterer of zeros."""
    return Clusterer(
        mean=np.zeros(D, np.float32),
        components=np.zeros((P, D), np.float32),
        explained_variance=np.zeros(P, np.float32),
        centroids=np.zeros((k, P), np.float32),
        counts=np.zeros(k, np.int64),
        distance_quantiles=np.zeros((k, len(QUANTILES)), np.float32),
        unknown_distance=np.zeros(k, np.float32),
    )


def test_length_does_not_matter(clusterer: Clusterer) -> None:
    fresh = embeddings(50, seed=2)

    np.testing.assert_allclose(clusterer.project(fresh * 1000), clusterer.project(fresh), atol=1e-6)


def test_unit_length_leaves_zeros_and_does_not_write_to_its_argument() -> None:
    given = np.array([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0]], np.float32)
    before = given.copy()

    unit = unit_length(given)

    np.testing.assert_allclose(unit[0], [0.6, 0.8], rtol=1e-6)
    assert np.isfinite(unit).all()
    assert unit[1].tolist() == [0, 0]
    np.testing.assert_array_equal(given, before)


def test_files_restore_every_array_to_the_bit(clusterer: Clusterer) -> None:
    files = clusterer.to_files()

    restored = Clusterer.from_files(files["pca.safetensors"], files["kmeans.safetensors"])

    assert sorted(files) == ["kmeans.safetensors", "pca.safetensors"]
    for name in ARRAYS:
        before, after = getattr(clusterer, name), getattr(restored, name)
        assert (after.dtype, after.tobytes()) == (before.dtype, before.tobytes()), name


def test_equal_clusterers_give_equal_files(clusterer: Clusterer) -> None:
    again = replace(clusterer, **{name: np.array(getattr(clusterer, name)) for name in ARRAYS})

    assert again.to_files() == clusterer.to_files()


@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"components", "centroids", "residual_weight"}))
def test_an_array_of_another_shape_is_refused_by_name(clusterer: Clusterer, name: str) -> None:
    with pytest.raises(BundleInvalid, match=f"{name} has shape"):
        replace(clusterer, **{name: getattr(clusterer, name)[:-1]})


def test_a_residual_weight_of_each_cluster_is_refused(clusterer: Clusterer) -> None:
    with pytest.raises(BundleInvalid, match="residual_weight has shape"):
        replace(clusterer, residual_weight=np.ones(K, np.float32))


def test_centroids_of_another_space_are_refused(clusterer: Clusterer) -> None:
    with pytest.raises(BundleInvalid, match="centroids has shape"):
        replace(clusterer, centroids=clusterer.centroids[:, :-1])


@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"counts", "components"}))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_by_name(
    clusterer: Clusterer, name: str, value: float
) -> None:
    spoilt = np.array(getattr(clusterer, name))
    spoilt.flat[-1] = value

    with pytest.raises(BundleInvalid, match=f"{name} holds a number that is not finite"):
        replace(clusterer, **{name: spoilt})
