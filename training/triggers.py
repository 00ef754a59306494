"""Whether a retraining is due: a pure decision, with its reason in words.

The cron schedule asks for its runs by itself (`schedule.py`). Here is what is looked at in between: enough
new pictures, or drift; not while a run is at work, not too soon after one, not on too few pictures.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.counted import counted
from training.drift import Alarm
from training.run_record import RunRecord

CLOCKS_DIFFER: Final = timedelta(minutes=5)  # at most, of hosts that are well


class TriggerSettings(BaseModel):
    """What asks for a retraining besides the schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check_every_s: float = Field(
        60.0, gt=0, description="between looks for dead runs, new pictures and drift"
    )
    volume: int | None = Field(
        10_000, ge=1, description="retrain after so many new pictures; empty: never for their number"
    )
    drift: bool = Field(True, description="retrain when the drift alarm rises")
    cooldown_s: float = Field(
        21_600.0, ge=0, description="neither is looked at for so long after a run began, whatever came of it"
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision rests on.

    `n_new` are pictures first seen since `last_trained` began, or since the champion was made. `n_corpus` is
    None where it was not counted. The slot of the next run is named after `last`, so that all who see the
    same facts ask for the same run.
    """

    now: datetime
    champion: str | None
    n_new: int
    n_corpus: int | None
    min_images: int
    alarm: Alarm | None
    running: RunRecord | None
    last: RunRecord | None
    last_trained: RunRecord | None


@dataclass(frozen=True, slots=True)
class Due:
    """A run is due."""

    kind: Literal["volume", "drift"]
    reason: str
    slot: str


@dataclass(frozen=True, slots=True)
class NotDue:
    """None is."""

    reason: str


def due(facts: Facts, settings: TriggerSettings) -> Due | NotDue:
    """Decide."""
    waiting = _waits_for(facts, settings)
    if waiting is not None:
        return NotDue(waiting)
    slot = f"after-{_stamp(facts.last.started_at)}" if facts.last else "after-none"
    if settings.volume is not None and facts.n_new >= settings.volume:
        return Due("volume", f"{counted(facts.n_new, 'new picture')}, it takes {settings.volume}", slot)
    if settings.drift and _has_drifted(facts):
        return Due("drift", facts.alarm.reason if facts.alarm else "", slot)
    return NotDue(f"{counted(facts.n_new, 'new picture')}, no drift that a run has not answered")


def last_of(
    records: list[RunRecord], now: datetime
) -> tuple[RunRecord | None, RunRecord | None, RunRecord | None]:
    """Give a run that is at work, the latest of all, and the latest that gave a model.

    A run that begins in the future was begun by a clock that was wrong: until that moment it is the latest of
    nothing, or no other could follow it.
    """
    running = [record for record in records if record.state == "running"]
    past = (record for record in records if record.started_at <= now + CLOCKS_DIFFER)
    in_order = sorted(past, key=lambda record: record.started_at)
    trained = [record for record in in_order if record.state in {"promoted", "challenger"}]
    return (*(group[-1] if group else None for group in (running, in_order, trained)),)  # type: ignore[return-value]


def _waits_for(facts: Facts, settings: TriggerSettings) -> str | None:
    if facts.champion is None:
        return "there is no model yet: train the first with `shoal train`"
    if facts.running is not None:
        return f"run {facts.running.slot} is at work"
    cooldown = timedelta(seconds=settings.cooldown_s)
    # a start far in the future was written by a clock that was wrong, and must not hold up everything
    if facts.last is not None and abs(facts.now - facts.last.started_at) < cooldown:
        return f"run {facts.last.slot} began less than {settings.cooldown_s:g} s ago"
    if facts.n_corpus is not None and facts.n_corpus < facts.min_images:
        return f"{facts.n_corpus} usable pictures, it takes {facts.min_images}"
    return None


def _has_drifted(facts: Facts) -> bool:
    alarm = facts.alarm
    if alarm is None or alarm.since is None or alarm.reading.version != facts.champion:
        return False
    return facts.last_trained is None or alarm.since > facts.last_trained.started_at


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z"
