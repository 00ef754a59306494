"""What a run tells of itself, kept."""


class Told:
    """A Progress that keeps, of each stage, its name, its total and how far it came; and the notes."""

    def __init__(self) -> None:
        self.stages = list[tuple[str, int | None, int]]()
        self.notes = list[str]()

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total, 0))

    def advance(self, done: int, total: int | None = None) -> None:
        name, before, _ = self.stages.pop()
        self.stages.append((name, total or before, done))

    def note(self, text: str) -> None:
        self.notes.append(text)
