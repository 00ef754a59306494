from dataclasses import replace

import pytest

from training.promotion import PromotionPolicy, Quality, decide

POLICY = PromotionPolicy(reconstruction_slack=0.1, silhouette_slack=0.05, max_share=0.6)
CHAMPION = Quality(reconstruction=0.01, silhouette=0.3, largest_share=0.4, n_empty=0)
NAN = float("nan")


def test_an_equal_candidate_is_promoted_past_every_gate() -> None:
    verdict = decide(CHAMPION, CHAMPION, POLICY)

    assert verdict.promote
    assert verdict.reason == "passed every gate"
    assert [gate.name for gate in verdict.gates] == [
        "no_empty_cluster",
        "no_dominating_cluster",
        "reconstruction",
        "silhouette",
    ]


@pytest.mark.parametrize(
    ("worse", "gate", "reason"),
    [
        ({"n_empty": 2}, "no_empty_cluster", "2 clusters are empty"),
        (
            {"largest_share": 0.7},
            "no_dominating_cluster",
            "the largest cluster has 70%, allowed are 60%",
        ),
        (
            {"reconstruction": 0.0111},
            "reconstruction",
            "reconstruction error 0.01110, at most 0.01100 is let pass",
        ),
        ({"silhouette": 0.2}, "silhouette", "silhouette 0.200, at least 0.250 is let pass"),
        ({"reconstruction": NAN}, "reconstruction", "reconstruction error nan, at most 0.01100 is let pass"),
        ({"silhouette": NAN}, "silhouette", "silhouette nan, at least 0.250 is let pass"),
        ({"largest_share": NAN}, "no_dominating_cluster", "the largest cluster has nan%, allowed are 60%"),
    ],
)
def test_each_gate_alone_refuses_and_says_why(worse: dict[str, float], gate: str, reason: str) -> None:
    verdict = decide(replace(CHAMPION, **worse), CHAMPION, POLICY)  # type: ignore[arg-type]

    assert not verdict.promote
    assert [failed.name for failed in verdict.gates if not failed.passed] == [gate]
    assert verdict.reason == reason


@pytest.mark.parametrize(
    "slightly_worse", [{"reconstruction": 0.0109}, {"silhouette": 0.26}, {"largest_share": 0.6}]
)
def test_what_the_policy_lets_pass_is_promoted(slightly_worse: dict[str, float]) -> None:
    assert decide(replace(CHAMPION, **slightly_worse), CHAMPION, POLICY).promote  # type: ignore[arg-type]


def test_a_first_model_is_compared_with_nobody() -> None:
    verdict = decide(replace(CHAMPION, reconstruction=9, silhouette=-1), None, POLICY)

    assert verdict.promote
    assert [gate.name for gate in verdict.gates] == ["no_empty_cluster", "no_dominating_cluster"]


def test_a_first_model_that_is_degenerate_is_not_promoted() -> None:
    verdict = decide(replace(CHAMPION, n_empty=1, largest_share=1), None, POLICY)

    assert not verdict.promote
    assert verdict.reason == "1 clusters are empty; the largest cluster has 100%, allowed are 60%"


def test_the_same_question_has_the_same_answer() -> None:
    candidate = replace(CHAMPION, silhouette=0.1)

    assert decide(candidate, CHAMPION, POLICY) == decide(candidate, CHAMPION, POLICY)


def test_a_policy_cannot_be_negative_or_mistyped() -> None:
    for wrong in ({"silhouette_slack": -0.1}, {"max_share": 0}, {"max_shares": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PromotionPolicy.model_validate(wrong)


def test_quality_is_kept_as_plain_figures() -> None:
    assert CHAMPION.as_metrics() == {
        "reconstruction": 0.01,
        "silhouette": 0.3,
        "largest_share": 0.4,
        "n_empty": 0.0,
    }
