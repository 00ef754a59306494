"""What would change for pictures if one model took another's place: pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from model_store.bundle_files import ClusterFile

Fate = Literal["kept", "new", "gone"]


class Placed(NamedTuple):
    """Where both models put a picture: cluster ids."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Flow:
    """Pictures that move from one cluster to another."""

    before: str
    after: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One cluster and its number of pictures, before and after."""

    id: str
    fate: Fate
    n_before: int
    n_after: int


@dataclass(frozen=True, slots=True)
class Changes:
    """All of it; flows and clusters largest first."""

    n: int
    flows: tuple[Flow, ...]
    clusters: tuple[Change, ...]

    @property
    def n_moved(self) -> int:
        """Count the pictures that get another id."""
        return sum(len(flow.pictures) for flow in self.flows)

    @property
    def share_moved(self) -> float:
        """Give their share."""
        return self.n_moved / max(1, self.n)


def changes(placed: Sequence[Placed], before: ClusterFile, after: ClusterFile) -> Changes:
    """Sum up where pictures go.

    Args:
        placed: every picture that both models were shown.
        before: the clusters of the one.
        after: the clusters of the other.
    """
    flows: dict[tuple[str, str], list[str]] = {}
    for picture in placed:
        if picture.before != picture.after:
            flows.setdefault((picture.before, picture.after), []).append(picture.name)
    old, new = Counter(p.before for p in placed), Counter(p.after for p in placed)
    old_ids, new_ids = [e.id for e in before.clusters], [e.id for e in after.clusters]
    clusters = [
        Change(id_, _fate(id_ in old_ids, id_ in new_ids), old[id_], new[id_])
        for id_ in dict.fromkeys([*old_ids, *new_ids])
    ]
    return Changes(
        n=len(placed),
        flows=tuple(
            sorted(
                (Flow(*ids, tuple(names)) for ids, names in flows.items()),
                key=lambda flow: -len(flow.pictures),
            )
        ),
        clusters=tuple(sorted(clusters, key=lambda one: -max(one.n_before, one.n_after))),
    )


def _fate(is_old: bool, is_new: bool) -> Fate:  # noqa: FBT001 - two answers, one word
    return "kept" if is_old and is_new else "new" if is_new else "gone"
