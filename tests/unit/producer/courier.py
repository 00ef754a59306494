from collections.abc import Sequence

from producer.broker import CLASSIFY
from producer.envelope import Letter, read


class Courier:
    """Stands for `push`: keeps what it was asked to send; fails and refuses as often as it is told to."""

    def __init__(self) -> None:
        self.writes: list[list[tuple[str, bytes]]] = []
        self.failures: list[Exception] = []  # raised, one by each write
        self.refusals: dict[str, list[Exception]] = {}  # answered, by the id of the message

    def __call__(
        self, _: object, letters: Sequence[tuple[str, bytes]], *, whole: bool = True
    ) -> list[Exception | None]:
        self.writes.append(list(letters))
        if self.failures:
            raise self.failures.pop(0)
        answers: list[Exception | None] = []
        for _, raw in letters:
            refusals = self.refusals.get(read(raw, (CLASSIFY,)).task_id)
            answers.append(refusals.pop(0) if refusals else None)
            if whole and answers[-1] is not None:  # Redis refuses all for one
                raise answers[-1]
        return answers

    @property
    def asked(self) -> list[tuple[str, Letter]]:
        """Lane and letter of each that was to be sent, repetitions included."""
        return [(lane, read(raw, (CLASSIFY,))) for write in self.writes for lane, raw in write]

    @property
    def sizes(self) -> list[int]:
        return [len(write) for write in self.writes]
