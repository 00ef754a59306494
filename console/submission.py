"""What one `shoal submit` has handed in: each picture as the user named it, and how its results are found."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from console.output import table
from console.result_rows import COLUMNS, result_rows
from model_store.counted import counted
from producer.contracts import ImageRef, Result

SHOWN_ONE_BY_ONE: Final = 25


@dataclass(slots=True)
class Submission:
    """Grows while pictures are submitted and answered."""

    collection: str
    pictures: list[tuple[str, ImageRef]] = field(default_factory=list)  # file or s3://bucket/key, reference
    answered: int | None = None  # not known before they are waited for

    def image_ids(self) -> list[str]:
        """Give each id once, in the order of submission."""
        return list(dict.fromkeys(ref.image_id for _, ref in self.pictures))

    def how_to_look(self, *, shown: bool) -> str:
        """Say which command shows the results; `shown`: they have just been."""
        ids = self.image_ids()
        of = "" if self.collection == "default" else f" --collection {self.collection}"
        if len(ids) <= SHOWN_ONE_BY_ONE:
            return f"their results: `shoal result {' '.join(ids)}{of}`"
        each = f"each by its id: `shoal result {ids[0]}{of}`"
        again = "all of them: the same command with --wait, and --json for every one; it submits them again"
        return each if shown else f"{each}; {again}"

    def how_it_stands(self) -> str:
        """Say to whoever stops the command what is under way all the same."""
        if not self.pictures:
            return "stopped before anything was submitted"
        n = len(self.image_ids())
        waiting = ""
        if self.answered is not None:
            waiting = f" ({self.answered:,} answered, {n - self.answered:,} still waited for)"
        return (
            f"stopped; submitted {counted(n, 'picture')} to collection {self.collection}{waiting}, which "
            f"workers answer all the same; {self.how_to_look(shown=False)}"
        )

    def show(self, found: Mapping[str, Result]) -> None:
        """Print the results: of a few each, with the file it is of; of many how many there are of a kind."""
        answered = [(name, found[ref.image_id]) for name, ref in self.pictures if ref.image_id in found]
        if len(answered) > SHOWN_ONE_BY_ONE:
            table("results", ("status", "cluster or error", "pictures"), _summary(answered))
        elif answered:
            rows = result_rows([result for _, result in answered])
            named = [(name, *row) for (name, _), row in zip(answered, rows, strict=True)]
            table("results", ("file", *COLUMNS), named)


def _summary(answered: list[tuple[str, Result]]) -> list[tuple[object, ...]]:
    counts = Counter(
        (result.status, result.error.code if result.error else result.cluster.id if result.cluster else None)
        for _, result in answered
    )
    return [(*what, count) for what, count in counts.most_common()]
