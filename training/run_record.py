"""What `runs/{slot}.json` says: how one retraining run came about, how far it is, how it ended."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.manifest import Gate

State = Literal["running", "promoted", "challenger", "skipped", "failed"]
Trigger = Literal["schedule", "volume", "drift", "by hand"]


class RunRecord(BaseModel):
    """`runs/{slot}.json`. `reason` says in words how the run ended.

    Once `version` is set the verdict is final, and whoever holds the run only has to carry it out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    collection: str
    slot: str
    trigger: Trigger = "by hand"
    trigger_reason: str = ""
    state: State = "running"
    reason: str = ""
    attempt: int = 1
    holder: str = ""
    heartbeat: int = Field(0, description="grows while the holder lives; no clock is compared with another")
    version: str | None = None
    promote: bool = False
    generation: int = Field(0, description="of the champion that the verdict compares with")
    gates: tuple[Gate, ...] = ()
    n_images: int = 0
    snapshot_digest: str | None = None
    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None


def version_of(record: RunRecord, now: datetime | None = None) -> str:
    """Name what an attempt publishes: its time, so that versions sort, then its run and the attempt."""
    moment = now or datetime.now(UTC)
    slot = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789._-" else "-" for c in record.slot.lower())
    return f"{moment:%Y%m%d-%H%M%S}-{slot[:40]}-a{record.attempt}"
