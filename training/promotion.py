"""Whether a candidate may take the champion's place: a pure decision, with its reasons in words."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from model_store.counted import counted
from model_store.manifest import Gate


class PromotionPolicy(BaseModel):
    """How much worse a candidate may be, and what no model may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction_slack: float = Field(0.05, ge=0, description="relative rise of the error that is let pass")
    silhouette_slack: float = Field(
        0.05, ge=0, description="absolute fall of the silhouette that is let pass"
    )
    accuracy_slack: float = Field(0.02, ge=0, description="absolute fall of the accuracy that is let pass")
    max_share: float = Field(0.9, gt=0, le=1, description="a cluster with more of the pictures dominates")
    share_growth: float = Field(
        0.25, ge=0, le=1, description="the largest cluster may have so much more than the champion's largest"
    )
    min_size: float = Field(
        0.1, ge=0, lt=1, description="a cluster with less than this part of the mean size is a splinter"
    )
    max_moved: float = Field(0.5, ge=0, le=1, description="share of known pictures that may change their id")
    max_merged: float = Field(
        0.05, ge=0, le=1, description="share of known pictures whose cluster may go into a larger one"
    )
    max_unknown: float = Field(
        0.8,
        ge=0,
        le=1,
        description="with more of the pictures unknown to the champion nothing can be compared",
    )
    inertia_slack: float = Field(0.5, ge=0, description="relative rise of the unexplained variance let pass")
    inertia_rise: float = Field(
        0.05, ge=0, description="absolute rise of it that is let pass, however little the champion leaves"
    )
    entropy_slack: float = Field(0.15, ge=0, description="fall of the normalised entropy of shares let pass")
    min_separation: float = Field(
        0.5, ge=0, le=1, description="least distance of two centroids, in the champion's least distance"
    )
    min_rank: float = Field(0.6, ge=0, le=1, description="effective rank of embeddings, in the champion's")
    min_spread: float = Field(0.4, ge=0, le=1, description="variance of embeddings, in the champion's")
    floor_slacks: float = Field(
        3.0,
        ge=1,
        description="so many slacks a figure may lie under the best since a person last overruled the gates",
    )
    max_latency: float = Field(
        3.0,
        gt=0,
        description="time of a predict, in the champion's, measured in turns; a noisy machine needs room",
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """A model, judged on held-out pictures; champion and candidate on the same ones."""

    reconstruction: float | None  # mean squared error of pixels in [0, 1]; None: its decoder is lost
    silhouette: float
    largest_share: float  # of the pictures it is judged on, or fitted on if that is more
    n_empty: int
    smallest_size: float  # of the clusters when fitted, in the mean size
    unexplained: float  # inertia over total variance, both in PCA space
    entropy: float  # of the shares, in [0, 1]
    separation: float  # least distance of two centroids over the usual distance of a picture from its own
    effective_rank: float  # of the embeddings: 1 on a line, at most D
    spread: float  # variance of the unit-length embeddings, in [0, 1]: 0 in a point
    accuracy: float | None = None  # on labelled pictures, if there are any

    def as_metrics(self) -> dict[str, float]:
        """Give the figures by name, for the manifest."""
        return {name: float(value) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The champion beside the candidate."""

    champion: Quality
    moved: float  # share of the anchors whose cluster id changes
    unknown: float  # share of the held-out pictures that the champion does not know
    latency: float  # time of a candidate's predict over the champion's
    candidate: Quality | None = None  # on the pictures of the champion's figures, where these are other ones
    merged: float = 0.0  # share of the anchors that are no longer told apart from those of a larger cluster
    floor: Mapping[str, float] = field(default_factory=dict)  # best figures of all forebears, see floor.py
    same_kind: bool = True  # of recipe and architecture: between others, unexplained variance means nothing


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


def decide(
    candidate: Quality, comparison: Comparison | None, policy: PromotionPolicy, obstacle: str = ""
) -> Verdict:
    """Hold a candidate, whose bundle has already answered its probe, against the policy and the champion.

    A figure that is not a number passes no gate.

    Args:
        candidate: judged on the held-out pictures.
        comparison: with the champion on the same, or None if there is none.
        policy: the limits.
        obstacle: why the champion that there is cannot be compared with: then only a person may promote.
    """
    gates = [
        _gate("probe", True, "the bundle loads and answers its probe"),
        _gate("no_empty_cluster", candidate.n_empty == 0, counted(candidate.n_empty, "empty cluster")),
        _gate(
            "no_dominating_cluster",
            candidate.largest_share <= policy.max_share,
            f"the largest cluster has {candidate.largest_share:.0%}, allowed are {policy.max_share:.0%}",
        ),
    ]
    if obstacle:
        gates.append(_gate("compared", False, obstacle))
    if comparison is not None:
        judged = comparison.candidate or candidate
        gates += _beside(judged, comparison, policy) + _above(judged, comparison.floor, policy)
    return Verdict(all(gate.passed for gate in gates), tuple(gates))


def _beside(new: Quality, comparison: Comparison, policy: PromotionPolicy) -> list[Gate]:
    old = comparison.champion
    gates = [
        _reconstruction(new, old, policy),
        _at_least("silhouette", "silhouette", new.silhouette, old.silhouette - policy.silhouette_slack),
        _at_most(
            "share_growth",
            "share of the largest cluster",
            new.largest_share,
            old.largest_share + policy.share_growth,
        ),
        _at_least(
            "no_splinter",
            "size of the smallest cluster, in the mean size,",
            new.smallest_size,
            min(policy.min_size, old.smallest_size),
        ),
        _at_least("entropy", "entropy of the shares", new.entropy, old.entropy - policy.entropy_slack),
        _at_least(
            "separation",
            "least relative distance of centroids",
            new.separation,
            old.separation * policy.min_separation,
        ),
        _at_least(
            "effective_rank",
            "effective rank of the embeddings",
            new.effective_rank,
            old.effective_rank * policy.min_rank,
        ),
        _at_least("spread", "variance of the embeddings", new.spread, old.spread * policy.min_spread),
        _at_most(
            "moved", "share of pictures that change their cluster id", comparison.moved, policy.max_moved
        ),
        _at_most(
            "kept_apart",
            "share of pictures whose cluster was merged into a larger one",
            comparison.merged,
            policy.max_merged,
        ),
        _at_most(
            "known",
            "share of pictures that the champion does not know",
            comparison.unknown,
            policy.max_unknown,
        ),
        _at_most("latency", "time of a predict, in the champion's,", comparison.latency, policy.max_latency),
    ]
    if comparison.same_kind:
        gates.append(
            _at_most(
                "inertia",
                "inertia over total variance",
                new.unexplained,
                old.unexplained + max(policy.inertia_slack * old.unexplained, policy.inertia_rise),
            )
        )
    if old.accuracy is not None and new.accuracy is not None:
        gates.append(_at_least("accuracy", "accuracy", new.accuracy, old.accuracy - policy.accuracy_slack))
    return gates


def _above(new: Quality, floor: Mapping[str, float], policy: PromotionPolicy) -> list[Gate]:
    """Hold it against the best of all forebears: slacks that are let pass night after night add up."""
    times = policy.floor_slacks
    limits = {
        name: best - times * slack if name in ("accuracy", "silhouette") else best * slack**times
        for name, slack in (
            ("accuracy", policy.accuracy_slack),
            ("silhouette", policy.silhouette_slack),
            ("effective_rank", policy.min_rank),
            ("spread", policy.min_spread),
        )
        if (best := floor.get(name)) is not None
    }
    figures = new.as_metrics()
    return [
        _at_least(f"floor_{name}", f"{name}, at best {floor[name]:.4g} before,", figures[name], limit)
        for name, limit in limits.items()
        if name in figures
    ]


def _reconstruction(new: Quality, old: Quality, policy: PromotionPolicy) -> Gate:
    name = "reconstruction"
    if old.reconstruction is None:
        return _gate(name, True, "the champion's decoder is lost: reconstructions are not compared")
    limit = old.reconstruction * (1 + policy.reconstruction_slack)
    found = math.nan if new.reconstruction is None else new.reconstruction
    return _at_most(name, "reconstruction error", found, limit)


def _at_most(name: str, what: str, found: float, limit: float) -> Gate:
    return _gate(name, found <= limit, f"{what} {found:.4g}, at most {limit:.4g} is let pass")


def _at_least(name: str, what: str, found: float, limit: float) -> Gate:
    return _gate(name, found >= limit, f"{what} {found:.4g}, at least {limit:.4g} is let pass")


def _gate(name: str, passed: bool, reason: str) -> Gate:  # noqa: FBT001 - it is the answer
    return Gate(name=name, passed=passed, reason=reason)
