from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from training.evaluate import SILHOUETTE_SAMPLE, agreement, shares, silhouette


def test_names_of_clusters_do_not_matter() -> None:
    labels = np.repeat([0, 1, 2], 10)

    found = agreement(labels, (labels + 1) % 3)

    assert (found.accuracy, found.n) == (1, 30)
    assert (found.nmi, found.ari) == pytest.approx((1, 1))


def test_labels_may_be_words() -> None:
    labels = np.array(["cat", "cat", "dog", "dog"])

    assert agreement(labels, np.array([7, 7, 3, 7])).accuracy == 0.75


def test_accuracy_is_that_of_the_best_naming() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(4, size=60), rng.integers(4, size=60)

    best = max(float(np.mean(np.take(naming, clusters) == labels)) for naming in permutations(range(4)))

    assert agreement(labels, clusters).accuracy == pytest.approx(best)


def test_clusters_left_without_a_label_count_as_wrong() -> None:
    labels = np.array([0, 0, 0, 0])

    assert agreement(labels, np.array([0, 0, 1, 2])).accuracy == 0.5


def test_labels_left_without_a_cluster_count_as_wrong() -> None:
    assert agreement(np.array([0, 0, 1, 2]), np.zeros(4, int)).accuracy == 0.5


def test_chance_has_no_adjusted_rand() -> None:
    rng = np.random.default_rng(0)

    assert abs(agreement(rng.integers(5, size=5000), rng.integers(5, size=5000)).ari) < 0.01


def test_silhouette_equals_sklearns_when_all_are_taken() -> None:
    rng = np.random.default_rng(0)
    projections = rng.normal(size=(200, 3)).astype(np.float32)
    clusters = (projections[:, 0] > 0).astype(np.int64)

    expected = silhouette_score(projections, clusters)

    assert silhouette(projections, clusters, random_state=0) == pytest.approx(expected, abs=1e-6)


def test_silhouette_samples_a_large_set_the_same_way_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    n = SILHOUETTE_SAMPLE + 500
    projections = rng.normal(size=(n, 2)).astype(np.float32)
    clusters = rng.integers(3, size=n)

    values = [silhouette(projections, clusters, random_state=seed) for seed in (0, 0, 1)]

    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("clusters", [np.zeros(6, np.int64), np.arange(6)], ids=["one", "one each"])
def test_silhouette_is_zero_where_it_has_no_meaning(
    clusters: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> None:
    projections = np.eye(6, dtype=np.float32)

    assert silhouette(projections, clusters, random_state=0) == 0


def test_shares_count_clusters_that_have_none() -> None:
    assert shares(np.array([0, 0, 0, 2]), 4).tolist() == [0.75, 0, 0.25, 0]


def test_shares_of_nothing_are_zero() -> None:
    assert shares(np.array([], np.int64), 2).tolist() == [0, 0]
