import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from model_store.clusterer import QUANTILES, Clusterer, unit_length
from producer.errors import TrainingFailed
from training.cluster import carried_over, fit_clusterer, radii
from training.cluster_settings import ClusterSettings

D, K = 24, 4
CENTRES = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0][:K]  # (K, D), orthonormal
Floats = NDArray[np.float32]


def blobs(n: int, seed: int, noise: float = 0.05) -> Floats:
    """Draw (n, D) around K directions, the last one twice as wide."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(K, size=n)
    width = noise * np.where(kinds == K - 1, 2.0, 1.0)[:, None]
    return np.asarray(CENTRES[kinds] + width * rng.normal(size=(n, D)), np.float32)


def settings(**changed: object) -> ClusterSettings:
    return ClusterSettings.model_validate({"n_clusters": K, "n_components": 8, "n_init": 2} | changed)


def unknown(clusterer: Clusterer, embeddings: Floats) -> NDArray[np.bool_]:
    projections = clusterer.project(embeddings)
    residuals = clusterer.residuals(embeddings, projections)
    return clusterer.strangeness(clusterer.assign(projections), residuals) > 1


@pytest.mark.parametrize("given", [1, 0, "1", 4097, "some"])
def test_a_number_of_clusters_that_tells_nothing_apart_is_refused_in_one_message(given: object) -> None:
    with pytest.raises(
        ValidationError, match="it takes a number from 2 to 4096, or auto: one clus"
    ) as caught:
        settings(n_clusters=given)
    assert [error["loc"] for error in caught.value.errors()] == [("n_clusters",)]


@pytest.mark.parametrize(("given", "taken"), [(2, 2), ("4096", 4096), ("auto", "auto")])
def test_other_numbers_and_auto_are_taken(given: object, taken: object) -> None:
    assert settings(n_clusters=given).n_clusters == taken


def test_the_arrays_are_those_of_sklearn() -> None:
    embeddings = blobs(400, seed=0)

    clusterer = fit_clusterer(embeddings, blobs(100, seed=1), settings(), random_state=3)

    unit = unit_length(embeddings)
    pca = PCA(8, random_state=3).fit(unit)
    projections = np.ascontiguousarray(pca.transform(unit), np.float32)
    kmeans = KMeans(K, n_init=2, random_state=3).fit(projections)
    np.testing.assert_allclose(clusterer.centroids, kmeans.cluster_centers_, atol=1e-6)
    np.testing.assert_array_equal(clusterer.assign(clusterer.project(embeddings)).indices, kmeans.labels_)
    np.testing.assert_array_equal(clusterer.counts, np.bincount(kmeans.labels_))
    np.testing.assert_allclose(clusterer.explained_variance, pca.explained_variance_, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_alarms_on_fresh_pictures_are_near_the_rate(rate: float) -> None:
    clusterer = fit_clusterer(
        blobs(4000, seed=0), blobs(4000, seed=1), settings(false_alarm_rate=rate), random_state=0
    )

    alarms = unknown(clusterer, blobs(20_000, seed=2)).mean()

    assert 0.5 * rate < alarms < 2 * rate


def test_a_few_held_out_pictures_calibrate_nearly_as_well_as_many() -> None:
    fresh = blobs(20_000, seed=2)

    alarms = [
        unknown(fit_clusterer(blobs(400, seed=n), blobs(20, seed=100 + n), settings(), n), fresh).mean()
        for n in range(10)
    ]

    assert 0.005 < np.mean(alarms) < 0.02
    assert max(alarms) < 0.05  # the farthest of 20 alone: 0.048 in the mean


def test_copies_at_the_limit_answer_alike_by_themselves_and_among_others() -> None:
    rng = np.random.default_rng(0)
    placeholder = blobs(1, seed=9)[0] + np.float32(0.2) * rng.normal(size=D).astype(np.float32)
    held_out = np.concatenate([blobs(1164, seed=1), np.tile(placeholder, (36, 1))])
    clusterer = fit_clusterer(blobs(2000, seed=0), held_out, settings(), random_state=0)

    assert np.ptp(held_out[-36:], axis=0).max() == 0
    strange = radii(clusterer, placeholder[None]) / clusterer.unknown_distance[0]
    assert 0.9 < strange[0] < 1 - 1e-4  # they are the limit, with room for rounding
    assert not unknown(clusterer, held_out[-1:]).any()


def test_near_copies_and_two_outliers_do_not_make_everything_unknown() -> None:
    rng = np.random.default_rng(0)
    copies = np.asarray(CENTRES[0] + 1e-4 * rng.normal(size=(240, D)), np.float32)
    learnt = np.concatenate([copies[:238], blobs(2, seed=1, noise=0.5)])

    one = settings().model_copy(update={"n_clusters": 1})
    clusterer = fit_clusterer(learnt, copies[:24], one, random_state=0)

    assert not unknown(clusterer, copies).any()


def test_what_the_components_do_not_see_is_unknown() -> None:
    clusterer = fit_clusterer(
        blobs(1000, seed=0), blobs(1000, seed=1), settings(n_components=K - 1), random_state=0
    )
    unseen = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0][K:]  # directions of no kind
    looking_like_a_kind = np.asarray(CENTRES[0] + unseen, np.float32)

    distances = clusterer.assign(clusterer.project(looking_like_a_kind)).distances
    assert (distances < clusterer.unknown_distance[0]).all()  # near a centroid, as far as the PCA can tell
    assert unknown(clusterer, looking_like_a_kind).all()


def test_pictures_far_from_every_cluster_are_unknown() -> None:
    clusterer = fit_clusterer(blobs(1000, seed=0), blobs(500, seed=1), settings(), random_state=0)
    between = CENTRES[:2].sum(axis=0, keepdims=True)
    elsewhere = np.concatenate([-CENTRES, between]).astype(np.float32)

    assert unknown(clusterer, elsewhere).all()
    assert not unknown(clusterer, CENTRES.astype(np.float32)).any()


def test_distance_quantiles_are_each_clusters_own() -> None:
    embeddings = blobs(400, seed=0)

    clusterer = fit_clusterer(embeddings, blobs(100, seed=1), settings(), random_state=0)

    assignment = clusterer.assign(clusterer.project(embeddings))
    for k in range(K):
        own = assignment.distances[assignment.indices == k]
        np.testing.assert_allclose(clusterer.distance_quantiles[k], np.quantile(own, QUANTILES), atol=1e-5)


def test_equal_seeds_give_equal_files() -> None:
    embeddings, held_out = blobs(200, seed=0), blobs(50, seed=1)

    first, again = (fit_clusterer(embeddings, held_out, settings(), random_state=1) for _ in range(2))

    assert first.to_files() == again.to_files()


def test_components_are_no_more_than_the_pictures_have() -> None:
    narrow = blobs(60, seed=0)[:, :3]

    clusterer = fit_clusterer(narrow, narrow, settings(n_components=32), random_state=0)

    assert clusterer.components.shape == (3, 3)


@pytest.mark.parametrize("n_held_out", [1, 4])
def test_few_held_out_pictures_still_calibrate(n_held_out: int) -> None:
    held_out = blobs(n_held_out, seed=1)

    clusterer = fit_clusterer(blobs(100, seed=0), held_out, settings(), random_state=0)

    assert not unknown(clusterer, held_out).any()
    assert unknown(clusterer, (-CENTRES).astype(np.float32)).all()


def test_too_few_pictures_say_how_many_it_takes_and_what_else_would_do() -> None:
    with pytest.raises(
        TrainingFailed, match=r"19 pictures, .* 4 clusters: it takes 20, or a smaller n_clusters"
    ):
        fit_clusterer(blobs(19, seed=0), blobs(5, seed=1), settings(), random_state=0)


def test_just_enough_pictures_are_clustered() -> None:
    clusterer = fit_clusterer(blobs(20, seed=0), blobs(5, seed=1), settings(), random_state=0)

    assert clusterer.counts.sum() == 20


def ring(n: int = 400) -> Floats:
    """Draw (n, D) evenly on a circle: KMeans may cut it anywhere, each cut is as good as the other."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.asarray(np.cos(angle)[:, None] * CENTRES[0] + np.sin(angle)[:, None] * CENTRES[1], np.float32)


def quarters(shift: float, n: int = 400) -> NDArray[np.int64]:
    return ((np.arange(n) / n + shift) * 4).astype(np.int64) % 4


def test_of_equally_good_clusterings_the_champions_is_kept() -> None:
    for shift in (0.05, 0.2):
        labels = quarters(shift)

        clusterer = fit_clusterer(ring(), ring(), settings(), 0, labels)

        found = clusterer.assign(clusterer.project(ring())).indices
        assert (found == labels).mean() > 0.98, "in the champion's order, too"


def test_a_clustering_that_is_better_by_more_than_the_margin_is_taken() -> None:
    embeddings = blobs(400, seed=0)
    right = fit_clusterer(embeddings, embeddings, settings(), 0)
    true = right.assign(right.project(embeddings)).indices
    # the champion has two blobs in one cluster, and one of them in two: Lloyd's steps do not lead out of it
    halves = np.where(
        right.project(embeddings)[:, 0] > np.median(right.project(embeddings)[true == 3, 0]), 2, 3
    )
    wrong = np.where(true == 3, halves, np.minimum(true, 1))

    kept = fit_clusterer(embeddings, embeddings, settings(continuity_margin=0.99), 0, wrong)
    taken = fit_clusterer(embeddings, embeddings, settings(), 0, wrong)

    np.testing.assert_array_equal(np.sort(taken.counts), np.sort(right.counts))
    assert kept.counts.max() > 1.5 * taken.counts.max()


def test_clusters_of_the_champion_are_joined_or_halved_to_as_many_as_are_wanted() -> None:
    points = np.array([[0, 0], [0, 1], [10, 0], [10, 1], [0, 40], [0, 60]], np.float32)
    labels = np.array([0, 0, 1, 1, 2, 2])

    fewer = carried_over(points, labels, 2, 0)
    more = carried_over(points, labels, 4, 0)

    np.testing.assert_allclose(fewer, np.array([[5, 0.5], [0, 50]]))
    np.testing.assert_allclose(more[:2], np.array([[0, 0.5], [10, 0.5]]))
    np.testing.assert_allclose(np.sort(more[2:, 1]), np.array([40, 60]))


def test_copies_of_one_picture_are_not_halved_for_ever() -> None:
    assert len(carried_over(np.zeros((10, 2), np.float32), np.zeros(10, np.int64), 3, 0)) == 1


def test_a_champion_that_put_nothing_anywhere_changes_nothing() -> None:
    embeddings = blobs(200, seed=0)
    nowhere = np.full(200, -1)

    alone, beside = (fit_clusterer(embeddings, embeddings, settings(), 1, x) for x in (None, nowhere))

    assert alone.to_files() == beside.to_files()
