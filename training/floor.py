"""How far models may sink in many small steps: the best figures since a person last overruled the gates.

Each candidate is held against its champion, with some slack, and slacks add up from night to night. So a
manifest keeps the best that its forebears had (`floor`), and no candidate may lie further below that than a
few slacks. Only a person lowers it: what is promoted against its gates begins a new one.

Not the error of reconstructions: it depends on what is uploaded, and is compared with the champion's on the
same pictures only.
"""

from typing import Final

from model_store.manifest import Manifest

LABELLED: Final = "accuracy"
OF_THE_KIND: Final = ("silhouette", "effective_rank", "spread")  # of recipe and architecture


def floor_under(champion: Manifest, *, same_kind: bool = True) -> dict[str, float]:
    """Give the best figures of a champion and its forebears, by name.

    Args:
        champion: that is to be succeeded.
        same_kind: the candidate is of its recipe and architecture; else only the accuracy compares.
    """
    forced = any(not gate.passed for gate in champion.gates)
    before = {} if forced else champion.floor
    return {
        name: max(figures[name] for figures in (champion.metrics, before) if name in figures)
        for name in ((LABELLED, *OF_THE_KIND) if same_kind else (LABELLED,))
        if name in champion.metrics or name in before
    }
