from dataclasses import replace

import pytest

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
    assert len({gate.name for gate in verdict.gates}) == len(verdict.gates) == 16


@pytest.mark.parametrize(
    ("worse", "gate", "reason"),
    [
        ({"n_empty": 2}, "no_empty_cluster", "2 clusters are empty"),
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
    assert found.reason == "1 clusters are empty; the largest cluster has 100%, allowed are 60%"


def test_a_policy_cannot_be_negative_or_mistyped() -> None:
    for wrong in ({"silhouette_slack": -0.1}, {"max_share": 0}, {"max_shares": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PromotionPolicy.model_validate(wrong)


def test_quality_is_kept_as_plain_figures() -> None:
    assert CHAMPION.as_metrics()["n_empty"] == 0.0
    assert "accuracy" not in replace(CHAMPION, accuracy=None).as_metrics()
