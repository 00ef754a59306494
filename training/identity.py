"""Stable names for clusters: which cluster of a new model is which of the champion's, and why.

```
anchors, labelled by both models -> overlap (I, J): counts
   over half of both sides in common             the id survives            Hungarian, among such pairs
   most of several clusters in one               merged: id of the one that survives, else a new one
   mostly a part of one cluster                  split: a new id
   neither                                       new
champion's clusters that are left                died
```
Labels are compared, never centroids, so it works across encoders. An id is never given twice.

Anchors are pictures that both models learned from, so that a kind of picture that came or went is seen
as such: a cluster with far fewer anchors than its size calls for is of what only one of the two knows.
Shapes: I clusters of the champion, J of the candidate.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model_store.bundle_files import ClusterEvent, Lineage
from model_store.cluster_names import Heir, heirs
from producer.ulid import ALPHABET

LENGTH = 6  # 32 ** 6: a thousand million, so that chance does not bring one back
SUPPORT: Final = 0.1  # with a smaller share of the anchors that there should be, a pair tells nothing

FreshIds = Callable[[int, Collection[str]], list[str]]
Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


class IdentitySettings(BaseModel):
    """When a cluster is the same as one of the champion's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_overlap: float = Field(
        0.5, ge=0.2, lt=1, description="an id survives if more than this share of both sides is in common"
    )
    anchors: int = Field(5000, ge=20, description="at most so many pictures are compared")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a cluster of the candidate is called, and of which of the champion's it is made, largest first."""

    id: str
    lineage: Lineage = "new"
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """The candidate's clusters, in the order of its centroids, and what became of the champion's."""

    identities: tuple[Identity, ...]
    events: tuple[ClusterEvent, ...] = ()
    retired: tuple[str, ...] = ()  # ids of earlier models that this one does not have

    def heirs(self) -> list[Heir]:
        """List who inherits what people said of clusters."""
        return heirs(self.identities)


def fresh_ids(n: int, taken: Collection[str] = ()) -> list[str]:
    """Make `n` ids such as `c_9f2k7m` that are not among `taken`."""
    ids: list[str] = []
    while len(ids) < n:
        candidate = "c_" + "".join(secrets.choice(ALPHABET.lower()) for _ in range(LENGTH))
        if candidate not in taken and candidate not in ids:
            ids.append(candidate)
    return ids


def unrelated(n: int, taken: Collection[str] = ()) -> Matched:
    """Name the clusters of a model that cannot be compared with another."""
    identities = tuple(Identity(new) for new in fresh_ids(n, taken))
    return Matched(identities, retired=tuple(sorted(taken)))


def overlap(before: NDArray[np.int64], after: NDArray[np.int64], shape: tuple[int, int]) -> Counts:
    """Count the anchors by both labels.

    Args:
        before: (A,), the champion's labels; -1 where it knows no cluster.
        after: (A,), the candidate's.
        shape: I and J.

    Returns:
        (I + 1, J); the last row is what the champion put nowhere.
    """
    table = np.zeros((shape[0] + 1, shape[1]), np.int64)
    np.add.at(table, (before, after), 1)  # -1 is the last row
    return table


def match(
    table: Counts,
    champion_ids: Sequence[str],
    champion_shares: Shares,
    candidate_shares: Shares,
    settings: IdentitySettings,
    taken: Collection[str] = (),
    new_ids: FreshIds = fresh_ids,
) -> Matched:
    """Carry the champion's ids over to the candidate's clusters.

    Args:
        table: (I + 1, J), see `overlap`.
        champion_ids: (I,).
        champion_shares: (I,), of the pictures that the champion learned from.
        candidate_shares: (J,), of the pictures that the candidate learns from.
        settings: how much must be in common.
        taken: ids of all earlier models.
        new_ids: makes further ones.
    """
    common, least = table[:-1], settings.min_overlap
    should_be = champion_shares * table.sum(), candidate_shares * table.sum()  # anchors, by its whole size
    whole_before = np.maximum(np.maximum(common.sum(axis=1), should_be[0]), 1)[:, None]  # (I, 1)
    whole_after = np.maximum(np.maximum(table.sum(axis=0), should_be[1]), 1)  # (J,)
    went, came = common / whole_before, common / whole_after  # (I, J)
    survivors = _survivors(table, SUPPORT * np.maximum.outer(*should_be), least)
    homes = {i: int(j) for i, j in enumerate(went.argmax(axis=1)) if went[i, j] > least}
    fresh = iter(new_ids(common.shape[1] - len(survivors), {*taken, *champion_ids}))
    identities, events = [], []
    for j in range(common.shape[1]):
        kept = survivors.get(j)
        absorbed = [i for i, home in homes.items() if home == j and i not in survivors.values()]
        parents = sorted([*absorbed, *([] if kept is None else [kept])], key=lambda i: -common[i, j])
        source = int(came[:, j].argmax())
        lineage: Lineage = "new"
        if len(parents) > 1:
            lineage = "merged"
        elif kept is not None:
            lineage = "survived"
        elif came[source, j] > least:
            lineage, parents = "split", [source]
        else:
            parents = []
        cluster_id = next(fresh) if kept is None else champion_ids[kept]
        names = tuple(champion_ids[i] for i in parents)
        reason = _reason([f"{went[i, j]:.0%} of {champion_ids[i]}" for i in parents], came[parents, j])
        identities.append(Identity(cluster_id, lineage, names))
        events.append(ClusterEvent(kind=lineage, before=names, after=(cluster_id,), reason=reason))
    ended = set(range(len(champion_ids))) - set(survivors.values())
    ended -= {champion_ids.index(parent) for one in identities for parent in one.parents}
    events += [
        ClusterEvent(kind="died", before=(champion_ids[i],), after=(), reason=_obituary(went[i], identities))
        for i in sorted(ended)
    ]
    retired = {*taken, *champion_ids} - {one.id for one in identities}
    return Matched(tuple(identities), tuple(events), tuple(sorted(retired)))


def _survivors(table: Counts, support: Shares, least: float) -> dict[int, int]:
    """Pair candidate's clusters with the champion's that they continue: j -> i, one to one."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - all who read settings import this module

    common = table[:-1]
    of_before = common / np.maximum(common.sum(axis=1, keepdims=True), 1)
    of_after = common / np.maximum(table.sum(axis=0), 1)
    qualified = (of_before > least) & (of_after > least) & (common >= support)
    rows, columns = linear_sum_assignment(np.where(qualified, common, 0), maximize=True)
    return {int(j): int(i) for i, j in zip(rows, columns, strict=True) if qualified[i, j]}


def _reason(shares_of_parents: Sequence[str], shares_of_it: Shares) -> str:
    if not shares_of_parents:
        return "mostly of pictures that no one cluster of the champion has"
    return f"has {' and '.join(shares_of_parents)}, which make {shares_of_it.sum():.0%} of it"


def _obituary(went: Shares, identities: Sequence[Identity]) -> str:
    if not len(went) or went.sum() < SUPPORT:
        return "hardly any of its pictures are left"
    largest = int(went.argmax())
    return (
        f"of its pictures {went.sum():.0%} are left, most in {identities[largest].id} ({went[largest]:.0%})"
    )
