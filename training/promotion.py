"""Whether a candidate may take the champion's place: a pure decision, with its reasons in words."""

from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict, Field

from model_store.manifest import Gate


class PromotionPolicy(BaseModel):
    """How much worse a candidate may be, and what no model may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction_slack: float = Field(0.05, ge=0, description="relative rise of the error that is let pass")
    silhouette_slack: float = Field(
        0.05, ge=0, description="absolute fall of the silhouette that is let pass"
    )
    max_share: float = Field(0.9, gt=0, le=1, description="a cluster with more of the pictures dominates")


@dataclass(frozen=True, slots=True)
class Quality:
    """A model, judged on held-out pictures; champion and candidate on the same ones."""

    reconstruction: float  # mean squared error of pixels in [0, 1]
    silhouette: float
    largest_share: float
    n_empty: int

    def as_metrics(self) -> dict[str, float]:
        """Give the figures by name, for the manifest."""
        return {name: float(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Promote or keep, and why."""

    promote: bool
    gates: tuple[Gate, ...]

    @property
    def reason(self) -> str:
        """Say it in one line: what failed, or that nothing did."""
        failed = [gate.reason for gate in self.gates if not gate.passed]
        return "; ".join(failed) if failed else "passed every gate"


def decide(candidate: Quality, champion: Quality | None, policy: PromotionPolicy) -> Verdict:
    """Hold a candidate, whose bundle has already answered its probe, against the policy and the champion.

    Args:
        candidate: judged on the held-out pictures.
        champion: judged on the same, or None if there is none.
        policy: the limits.
    """
    gates = [
        _gate("no_empty_cluster", candidate.n_empty == 0, f"{candidate.n_empty} clusters are empty"),
        _gate(
            "no_dominating_cluster",
            candidate.largest_share <= policy.max_share,
            f"the largest cluster has {candidate.largest_share:.0%}, allowed are {policy.max_share:.0%}",
        ),
    ]
    if champion is not None:
        limit = champion.reconstruction * (1 + policy.reconstruction_slack)
        floor = champion.silhouette - policy.silhouette_slack
        gates += [
            _gate(
                "reconstruction",
                candidate.reconstruction <= limit,
                f"reconstruction error {candidate.reconstruction:.5f}, at most {limit:.5f} is let pass",
            ),
            _gate(
                "silhouette",
                candidate.silhouette >= floor,
                f"silhouette {candidate.silhouette:.3f}, at least {floor:.3f} is let pass",
            ),
        ]
    return Verdict(all(gate.passed for gate in gates), tuple(gates))


def _gate(name: str, passed: bool, reason: str) -> Gate:  # noqa: FBT001 - it is the answer
    return Gate(name=name, passed=passed, reason=reason)
