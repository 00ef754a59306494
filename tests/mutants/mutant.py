from typing import NamedTuple


class Mutant(NamedTuple):
    """A change that takes one remedy out."""

    name: str
    file: str
    old: str  # stands there exactly once
    new: str
    tests: tuple[str, ...]  # at least one of them must fail
