"""What is written down of a job beside its parts: how far its submission is, and what came of it."""

from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from producer.ulid import derived_ulid, new_ulid

RECORD: Final = "job.json"
MANIFEST: Final = "manifest.json"
INDEX: Final = "index.safetensors"


class JobRecord(BaseModel):
    """`jobs/{job_id}/job.json`. Message ids follow from `first` and their numbers: see `message_id`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    job_id: str
    collection: str
    source: str = Field("", description="what was submitted, for people")
    state: Literal["submitting", "closed"] = "submitting"
    first: str = Field(default_factory=new_ulid, description="what message ids are derived from")
    cursor: str = Field("", description="where in the source to go on; emptied when it is closed")
    messages: int | None = Field(0, description="sent so far; null where they are numbered by nobody")
    pictures: int = Field(0, description="references sent so far; one picture may be among them twice")
    skipped: int = Field(0, description="entries of the source that can be no pictures")
    first_skipped: str | None = None
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def message_id(self, number: int) -> str:
        """Name a message: the same one whenever it is sent again."""
        return derived_ulid(self.first, f"message {number}")

    @property
    def message_ids(self) -> list[str] | None:
        """Give the ids of all messages so far; None where nobody numbered them."""
        return None if self.messages is None else [self.message_id(n) for n in range(self.messages)]


class PartEntry(BaseModel):
    """One part, as a manifest lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    size_bytes: int
    rows: int


class JobManifest(BaseModel):
    """`jobs/{job_id}/manifest.json`: every picture that was submitted has its row.

    Of a picture with several rows the newest counts: of the newest model, then of the newest submission.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    job_id: str
    collection: str
    submitted: int = Field(description="references; one picture may be among them twice")
    pictures: int = Field(description="different ones")
    totals: dict[str, int] = Field(description="pictures by status; those that were erased since as `erased`")
    parts: tuple[PartEntry, ...]
    completed_at: datetime
    revision: int = Field(1, description="grows when a part changed after completion: an erasure, a replay")
