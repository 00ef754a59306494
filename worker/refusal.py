from typing import NamedTuple


class Refusal(NamedTuple):
    """Champions that may not serve: how many there were, and the one that is refused now, if one is."""

    total: int = 0
    generation: int | None = None
    reason: str = ""
