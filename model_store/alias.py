"""Pointers at published versions, as they are stored."""

from datetime import UTC, datetime

from pydantic import Field

from model_store.manifest import Part


class Target(Part):
    """A version, and the digest its manifest must have."""

    version: str
    sha256: str


class Alias(Target):
    """An alias file. `generation` grows by one with every move of the champion, back or forth."""

    generation: int
    moved_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    reason: str = ""
    previous: Target | None = Field(None, description="what it pointed at before: where rollback goes")
