"""When beat asks for a retraining, and which run that is.

A run is named for the moment it was due. Two beats that fire for the same moment name the same run, and
only one of them can create it.
"""

import itertools
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from celery.schedules import ParseException, crontab, schedule

from producer.broker import CHECK, RETRAIN
from producer.errors import ConfigurationError
from training.settings import TrainingSettings

CRON_GRAIN_S: Final = 60.0
LOOKED_AHEAD: Final = 9  # moments of a cron line


def beat_schedule(settings: TrainingSettings) -> dict[str, Mapping[str, Any]]:
    """List what beat sends: per collection the runs that are due by the clock, and a frequent check.

    Raises:
        ConfigurationError: the cron line cannot be read.
    """
    when = schedule(settings.every_s) if settings.every_s is not None else _cron(settings.schedule)
    expires_s = _shortest_s(when) if isinstance(when, crontab) else settings.every_s
    entries: dict[str, Mapping[str, Any]] = {}
    for collection in settings.collections:
        entries[f"retrain-{collection}"] = {
            "task": RETRAIN,
            "schedule": when,
            "kwargs": {"collection": collection, "trigger": "schedule"},
            "options": {"expires": expires_s},  # of slots that a trainer missed it does the last
        }
        every_s = settings.triggers.check_every_s
        entries[f"check-{collection}"] = {
            "task": CHECK,
            "schedule": schedule(every_s),
            "kwargs": {"collection": collection},
            "options": {"expires": every_s},  # behind a long run they would only queue up
        }
    return entries


def _shortest_s(when: crontab) -> float:
    """Tell how soon after a run the next may be due."""
    moments = [datetime.now(UTC)]
    for _ in range(LOOKED_AHEAD):
        last, wait, _ = when.remaining_delta(moments[-1], tz=UTC)
        moments.append(last + wait)
    return min((later - sooner).total_seconds() for sooner, later in itertools.pairwise(moments[1:]))


def slot_at(moment_s: float, settings: TrainingSettings) -> str:
    """Name the run that is due at this moment (seconds since 1970)."""
    grain_s = settings.every_s if settings.every_s is not None else CRON_GRAIN_S
    due_s = math.floor(moment_s / grain_s) * grain_s
    return f"{datetime.fromtimestamp(due_s, tz=UTC):%Y%m%dT%H%M%SZ}"


def _cron(line: str) -> crontab:
    fields = line.split()
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    if len(fields) != len(names):
        raise ConfigurationError(
            f"SHOAL_TRAINING__SCHEDULE has five fields, such as '0 3 * * *', not {line!r}"
        )
    try:
        return crontab(**dict(zip(names, fields, strict=True)))
    except (ValueError, ParseException) as error:
        raise ConfigurationError(f"SHOAL_TRAINING__SCHEDULE {line!r} cannot be read: {error}") from error
