from dataclasses import replace

import numpy as np
import pytest

from model_store.manifest import Gate, Manifest
from tests.tiny_model import make_tiny_bundle
from training.comparison import merged_share
from training.floor import floor_under
from training.promotion import Comparison, PromotionPolicy, Quality, Verdict, decide

POLICY = PromotionPolicy(reconstruction_slack=0.1, silhouette_slack=0.05, max_share=0.6, max_moved=0.5)
CHAMPION = Quality(
    reconstruction=0.01,
    silhouette=0.3,
    largest_share=0.3,
    n_empty=0,
    smallest_size=0.5,
    unexplained=0.4,
    entropy=0.9,
    separation=2.0,
    effective_rank=10.0,
    spread=0.5,
    accuracy=0.8,
)
ALIKE = Comparison(CHAMPION, moved=0.1, unknown=0.02, latency=1.0)
NAN = float("nan")
BESIDE = {"moved", "unknown", "latency"}


def verdict(changed: dict[str, float]) -> Verdict:
    """Decide on a candidate that is the champion but for what is changed."""
    candidate = replace(CHAMPION, **{k: v for k, v in changed.items() if k not in BESIDE})  # type: ignore[arg-type]
    beside = replace(ALIKE, **{k: v for k, v in changed.items() if k in BESIDE})  # type: ignore[arg-type]
    return decide(candidate, beside, POLICY)


def test_an_equal_candidate_is_promoted_past_every_gate() -> None:
    verdict = decide(CHAMPION, ALIKE, POLICY)

    assert verdict.promote
    assert verdict.reason == "passed every gate"
    assert len({gate.name for gate in verdict.gates}) == len(verdict.gates) == 17


@pytest.mark.parametrize(
    ("worse", "gate", "reason"),
    [
        ({"n_empty": 2}, "no_empty_cluster", "2 empty clusters"),
        ({"reconstruction": 0.0111}, "reconstruction", "reconstruction error 0.0111, at most 0.011"),
        ({"silhouette": 0.2}, "silhouette", "silhouette 0.2, at least 0.25 is let pass"),
        ({"largest_share": 0.57}, "share_growth", "share of the largest cluster 0.57, at most 0.55"),
        ({"smallest_size": 0.05}, "no_splinter", "smallest cluster, in the mean size, 0.05, at least 0.1"),
        ({"unexplained": 0.8}, "inertia", "inertia over total variance 0.8, at most"),
        ({"entropy": 0.6}, "entropy", "entropy of the shares 0.6, at least 0.75"),
        ({"separation": 0.5}, "separation", "least relative distance of centroids 0.5, at least 1"),
        ({"effective_rank": 1.2}, "effective_rank", "effective rank of the embeddings 1.2, at least 6"),
        ({"spread": 1e-6}, "spread", "variance of the embeddings 1e-06, at least 0.2"),
        ({"accuracy": 0.7}, "accuracy", "accuracy 0.7, at least 0.78"),
        ({"moved": 0.51}, "moved", "share of pictures that change their cluster id 0.51, at most 0.5"),
        ({"unknown": 0.9}, "known", "share of pictures that the champion does not know 0.9, at most 0.8"),
        ({"latency": 4.0}, "latency", "time of a predict, in the champion's, 4, at most 3"),
    ],
)
def test_each_gate_alone_refuses_and_says_why(worse: dict[str, float], gate: str, reason: str) -> None:
    found = verdict(worse)

    assert not found.promote
    assert [failed.name for failed in found.gates if not failed.passed] == [gate]
    assert reason in found.reason


def test_a_rise_of_inertia_from_next_to_nothing_is_let_pass() -> None:
    """Twice of one percent is no loss; twice of forty is."""
    little, much = (replace(CHAMPION, unexplained=part) for part in (0.01, 0.4))

    assert decide(replace(little, unexplained=0.02), replace(ALIKE, champion=little), POLICY).promote
    assert not decide(replace(much, unexplained=0.8), replace(ALIKE, champion=much), POLICY).promote


@pytest.mark.parametrize(
    "figure",
    [
        "reconstruction",
        "silhouette",
        "unexplained",
        "entropy",
        "separation",
        "effective_rank",
        "spread",
        "moved",
    ],
)
def test_a_figure_that_is_no_number_is_let_pass_nowhere(figure: str) -> None:
    assert not verdict({figure: NAN}).promote


@pytest.mark.parametrize(
    "slightly_worse",
    [
        {"reconstruction": 0.0109},
        {"silhouette": 0.26},
        {"largest_share": 0.5},
        {"moved": 0.5},
        {"accuracy": 0.79},
    ],
)
def test_what_the_policy_lets_pass_is_promoted(slightly_worse: dict[str, float]) -> None:
    assert verdict(slightly_worse).promote


def test_a_champion_with_a_splinter_does_not_call_for_better() -> None:
    champion = replace(CHAMPION, smallest_size=0.02)

    assert decide(champion, replace(ALIKE, champion=champion), POLICY).promote


def test_without_labels_accuracy_is_no_gate() -> None:
    found = decide(replace(CHAMPION, accuracy=None), ALIKE, POLICY)

    assert found.promote
    assert "accuracy" not in {gate.name for gate in found.gates}


def test_between_encoders_of_different_kinds_the_unexplained_variance_is_not_compared() -> None:
    candidate, other = replace(CHAMPION, unexplained=0.8), replace(ALIKE, same_kind=False)

    assert decide(candidate, other, POLICY).promote
    assert not decide(candidate, ALIKE, POLICY).promote


def test_a_first_model_is_compared_with_nobody() -> None:
    found = decide(replace(CHAMPION, reconstruction=9, silhouette=-1), None, POLICY)

    assert found.promote
    assert [gate.name for gate in found.gates] == ["probe", "no_empty_cluster", "no_dominating_cluster"]


def test_a_first_model_that_is_degenerate_is_not_promoted() -> None:
    found = decide(replace(CHAMPION, n_empty=1, largest_share=1), None, POLICY)

    assert not found.promote
    assert found.reason == "1 empty cluster; the largest cluster has 100%, allowed are 60%"


def test_where_the_champion_that_there_is_cannot_be_compared_with_nobody_is_promoted() -> None:
    found = decide(CHAMPION, None, POLICY, "its encoder is lost")

    assert not found.promote
    assert found.reason == "its encoder is lost"


def test_a_policy_cannot_be_negative_or_mistyped() -> None:
    for wrong in ({"silhouette_slack": -0.1}, {"max_share": 0}, {"max_shares": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PromotionPolicy.model_validate(wrong)


def test_quality_is_kept_as_plain_figures() -> None:
    assert CHAMPION.as_metrics()["n_empty"] == 0.0
    assert "accuracy" not in replace(CHAMPION, accuracy=None).as_metrics()


def test_clusters_that_are_no_longer_told_apart_refuse() -> None:
    found = decide(CHAMPION, replace(ALIKE, merged=0.1), POLICY)

    assert [gate.name for gate in found.gates if not gate.passed] == ["kept_apart"]
    assert "whose cluster was merged into a larger one 0.1, at most 0.05" in found.reason


def test_beside_the_champion_the_figures_on_its_own_pictures_count() -> None:
    """What is well on the flood that it learnt from, and worse on what the champion knew, is refused."""
    worse = replace(CHAMPION, silhouette=0.1)

    assert not decide(CHAMPION, replace(ALIKE, candidate=worse), POLICY).promote
    assert decide(worse, replace(ALIKE, candidate=CHAMPION), POLICY).promote


def test_a_missing_decoder_of_the_champion_refuses_nobody_and_is_said() -> None:
    champion = replace(CHAMPION, reconstruction=None)

    found = decide(CHAMPION, replace(ALIKE, champion=champion), POLICY)

    assert found.promote
    assert any("decoder is lost" in gate.reason for gate in found.gates)


def manifest(quality: Quality, **fields: object) -> Manifest:
    """Describe a champion of this quality."""
    whole, _ = make_tiny_bundle()
    return whole.model_copy(update={"metrics": quality.as_metrics(), **fields})


def test_slacks_of_many_nights_do_not_add_up() -> None:
    """Each night a little worse than the night before, within each slack."""
    champion, promoted = manifest(CHAMPION), 0
    quality = CHAMPION
    for _ in range(14):
        floor = floor_under(champion)
        worse = replace(
            quality,
            silhouette=quality.silhouette - 0.049,
            accuracy=(quality.accuracy or 0) - 0.019,
            effective_rank=max(1, quality.effective_rank * 0.62),
            spread=quality.spread * 0.42,
        )
        found = decide(worse, replace(ALIKE, champion=quality, floor=floor), POLICY)
        if not found.promote:
            assert {gate.name for gate in found.gates if not gate.passed} <= {
                f"floor_{name}" for name in floor
            }
            break
        champion, quality = manifest(worse, gates=found.gates, floor=floor), worse
        promoted += 1

    assert 1 <= promoted <= 3


def test_only_what_a_person_promoted_against_the_gates_lowers_the_floor() -> None:
    low, failed = replace(CHAMPION, accuracy=0.5), Gate(name="accuracy", passed=False, reason="")
    before = {"accuracy": 0.8, "silhouette": 0.4}

    assert floor_under(manifest(low, floor=before))["accuracy"] == 0.8
    assert floor_under(manifest(low, floor=before))["silhouette"] == 0.4
    assert floor_under(manifest(low, floor=before, gates=(failed,)))["accuracy"] == 0.5


def test_of_another_kind_of_model_only_the_accuracy_has_a_floor() -> None:
    assert set(floor_under(manifest(CHAMPION), same_kind=False)) == {"accuracy"}


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 0),
        ([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 1], 2 / 6),
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1], 0),  # half is no majority
        ([0, 1, 2], [0, 0, 0], 2 / 3),
        ([], [], 0),
    ],
)
def test_the_share_that_was_merged(before: list[int], after: list[int], share: float) -> None:
    assert merged_share(np.array(before, np.int64), np.array(after, np.int64)) == pytest.approx(share)
