import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training import tiny_runs
from tests.unit.training.told import Told
from training.choice_of_k import MOST_TRIED, SAMPLE, Tried, choose, decide, settled
from training.cluster import fit_clusterer
from training.cluster_settings import ClusterSettings
from training.course import COURSE, Course

D = 24
Floats = NDArray[np.float32]


def blobs(n_kinds: int, n: int = 600, noise: float = 0.05) -> Floats:
    """Draw (n, D) around as many directions at right angles."""
    rng = np.random.default_rng(n_kinds)
    centres = np.linalg.qr(rng.normal(size=(D, D)))[0][:n_kinds]
    kinds = rng.integers(n_kinds, size=n)
    return np.asarray(centres[kinds] + noise * rng.normal(size=(n, D)), np.float32)


def auto(**changed: object) -> ClusterSettings:
    return ClusterSettings.model_validate({"n_clusters": "auto", "n_components": 16, "n_init": 2} | changed)


@pytest.mark.parametrize("n_kinds", [3, 5, 9])
def test_as_many_clusters_as_kinds_were_planted_are_found(n_kinds: int) -> None:
    choice = choose(blobs(n_kinds), auto(n_clusters_range=(2, 12)), random_state=0)

    assert choice.n_clusters == n_kinds
    assert [tried.n_clusters for tried in choice.curve] == list(range(2, 13))
    assert f"{n_kinds} is the smallest number whose score" in choice.reason
    second = max(
        (tried for tried in choice.curve if tried.n_clusters != n_kinds), key=lambda tried: tried.score
    )
    assert f"; next is {second.n_clusters} with {second.score:.3f}" in choice.reason


def test_equal_seeds_choose_the_same_by_the_same_curve() -> None:
    embeddings = blobs(4, n=200, noise=0.3)

    first, second = (choose(embeddings, auto(n_clusters_range=(2, 6)), random_state=5) for _ in range(2))

    assert first == second


def test_a_wide_range_on_many_pictures_is_tried_in_steps_on_a_sample() -> None:
    choice = choose(blobs(3, n=3 * SAMPLE), auto(n_clusters_range=(2, 60)), random_state=0)

    assert len(choice.curve) <= MOST_TRIED
    assert (choice.n_sample, choice.curve[0].n_clusters, choice.curve[-1].n_clusters) == (SAMPLE, 2, 60)
    assert choice.n_clusters == 3


def test_only_the_given_rows_count() -> None:
    embeddings = np.concatenate([blobs(3, n=300), blobs(9, n=300)])
    rows = np.arange(0, 300, 2)

    choice = choose(embeddings, auto(n_clusters_range=(2, 6)), random_state=0, rows=rows)

    assert choice == choose(embeddings[rows], auto(n_clusters_range=(2, 6)), random_state=0)
    assert choice.n_clusters == 3


def test_no_more_clusters_are_tried_than_the_halves_have_pictures_for() -> None:
    choice = choose(blobs(3, n=60), auto(n_clusters_range=(2, 20)), random_state=0)

    assert choice.curve[-1].n_clusters == 6
    assert choice.n_clusters == 3


CURVE = [
    Tried(n_clusters=5, stability=0.8, silhouette=0.4),
    Tried(n_clusters=6, stability=0.9, silhouette=0.4),
    Tried(n_clusters=7, stability=0.7, silhouette=0.3),
]


@pytest.mark.parametrize(
    ("champion", "margin", "chosen", "said"),
    [
        (None, 0.0, 6, "6 is the smallest"),
        (5, 0.06, 5, "the champion's 5 are kept"),
        (5, 0.04, 6, "6 is the smallest"),
        (7, 0.06, 6, "6 is the smallest"),
        (6, 0.06, 6, "6 is the smallest"),
        (99, 0.06, 6, "6 is the smallest"),
    ],
)
def test_the_champions_number_is_left_only_for_one_that_is_better_by_the_margin(
    champion: int | None, margin: float, chosen: int, said: str
) -> None:
    n_clusters, reason = decide(CURVE, champion, margin)

    assert n_clusters == chosen
    assert reason.startswith(said)


def test_of_equals_the_smaller_number_is_taken() -> None:
    equals = [Tried(n_clusters=k, stability=1.0, silhouette=0.5) for k in (7, 5, 6)]

    assert decide(equals, None, 0.0)[0] == 5


def test_a_given_number_is_not_searched_for() -> None:
    given = ClusterSettings(n_clusters=3)

    assert settled(blobs(5), given, random_state=0) == (given, None)


def test_what_is_settled_can_be_fitted_and_what_is_not_is_refused() -> None:
    embeddings, held_out = blobs(4, n=300), blobs(4, n=60)
    settings, choice = settled(embeddings, auto(n_clusters_range=(2, 8)), random_state=0)

    assert choice is not None
    assert len(fit_clusterer(embeddings, held_out, settings, random_state=0).centroids) == 4
    with pytest.raises(ValueError, match="auto"):
        fit_clusterer(embeddings, held_out, auto(), random_state=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_clusters": 0},
        {"n_clusters": "many"},
        {"n_clusters_range": (9, 3)},
        {"n_clusters_range": (1, 3)},
        {"n_clusters_range": (2, 201)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ClusterSettings.model_validate(wrong)


def test_the_number_may_come_as_text() -> None:
    assert ClusterSettings.model_validate({"n_clusters": "12"}).n_clusters == 12


def test_a_smaller_number_that_is_about_as_good_is_taken() -> None:
    near = [Tried(n_clusters=k, stability=0.9, silhouette=s) for k, s in ((9, 0.37), (10, 0.39), (11, 0.4))]

    assert decide(near, None, 0.0)[0] == 10


@pytest.mark.parametrize("reported", [True, False])
def test_a_training_says_what_was_chosen_and_where_the_curve_is(*, reported: bool) -> None:
    told = Told()
    settings = tiny_runs.settings(n_clusters="auto", n_clusters_range=(2, 5))
    settings = settings.model_copy(
        update={"report": settings.report.model_copy(update={"enabled": reported})}
    )

    n_clusters = tiny_runs.trained(tiny_runs.corpus(), settings, told).manifest.n_clusters

    (note,) = (note for note in told.notes if "chosen" in note)
    assert note.startswith(f"{n_clusters} clusters, chosen among 2 to 5 on 81 pictures: ")
    assert "; next is " in note
    assert note.endswith("The curve is in the report, under How many clusters") == reported


def test_it_is_the_same_where_clustering_then_goes_part_by_part() -> None:
    wanted = {"n_clusters": "auto", "n_clusters_range": (2, 5)}
    corpus = tiny_runs.corpus(200)

    at_once, streamed = (
        tiny_runs.trained(corpus, tiny_runs.settings(**wanted, **more)) for more in ({}, {"in_memory": 100})
    )

    choice = Course.from_bytes(streamed.files[COURSE]).choice
    assert choice is not None
    assert choice == Course.from_bytes(at_once.files[COURSE]).choice
    assert streamed.manifest.n_clusters == at_once.manifest.n_clusters == choice.n_clusters
    assert streamed.clusterer.counts.sum() == 180  # a tenth is held out
