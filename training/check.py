"""What a trainer looks at every minute: dead runs, the ledger's small files, and whether a run is due.

```
a run without a sign of life    taken up, or ended as failed if it was the second time
once an hour                    finished days of the ledger are compacted, removed is what ended runs and
                                unfinished versions left
count, drift                    triggers.due -> the run, right here: its slot keeps others from it
```
Any number of checks at once is harmless. One runs at a time in a process, since runs do.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from model_store.compaction import compact_finished_days
from model_store.object_store import ObjectStore
from model_store.registry import Alias, Registry
from model_store.signature import ANYBODY, TrustedKeys
from model_store.unfinished import remove_unfinished
from producer.errors import AccessDenied, BundleInvalid, ObjectNotFound, TransientError
from training.drift import Alarm
from training.drift_window import DriftWatch
from training.new_pictures import NewPictures
from training.retrain import Retraining
from training.run_lease import Watch
from training.run_leftovers import remove_leftovers
from training.run_record import RunRecord
from training.runs import Runs
from training.settings import TrainingSettings
from training.triggers import CLOCKS_DIFFER, Due, Facts, NotDue, due, last_of

log = structlog.get_logger(__name__)

TIDY_EVERY_S: Final = 3600.0
GRACE: Final = timedelta(hours=1)  # after midnight, for messages of the day before
UNFINISHED: Final = timedelta(days=1)  # a version that is not published by then never will be
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STEPS_PER_WINDOW: Final = 4  # readings of drift while a window passes


class Check:
    """Looks after one collection; lives as long as the trainer, since deaths are told by watching."""

    def __init__(
        self,
        collection: str,
        store: ObjectStore,
        retraining: Retraining,
        settings: TrainingSettings,
        trusted: TrustedKeys = ANYBODY,
    ) -> None:
        self._collection = collection
        self._store = store
        self._retraining = retraining
        self._settings = settings
        self._runs = Runs(store, collection, settings.lease_s)
        self._watch = Watch(settings.lease_s)
        self._registry = Registry(store, collection, trusted=trusted)
        self._new = NewPictures(store, collection)
        self._drift = DriftWatch(store, self._registry, settings.drift)
        self._tidied_at = -TIDY_EVERY_S
        self._recount_at = 0  # the cheap count at which the exact one may have become enough
        self._read_at: tuple[str, int] | None = None  # champion, and cheap count at the last drift reading

    def run(self) -> RunRecord | None:
        """Look once, and do the run that is due, if one is; gives how that ended.

        Raises:
            Exception: what went wrong with that run, after it was recorded.
        """
        for dead in self._watch.dead(list(self._runs.states())):
            self._retraining.take_up(dead)
        self._tidy()
        decision = self.decide()
        if isinstance(decision, NotDue):
            log.debug("no run is due", collection=self._collection, reason=decision.reason)
            return None
        return self._retraining.run(decision.slot, decision.kind, decision.reason)

    def decide(self) -> Due | NotDue:
        """Gather what is known, and ask whether a run is due."""
        champion = self._registry.alias("champion")
        now = datetime.now(UTC)
        running, last, trained = last_of(list(self._runs.all()), now)
        if champion is None:
            return NotDue("there is no model yet: train the first with `shoal train`")
        since = trained.started_at if trained else self._registry.manifest(champion.version)[0].created_at
        if since > now + CLOCKS_DIFFER:  # then everything counts, once
            since = EPOCH
        at_most = self._new.at_most(since)
        facts = Facts(
            now=now,
            champion=champion.version,
            n_new=at_most if at_most >= self._recount_at else 0,
            n_corpus=None,
            min_images=self._settings.min_images,
            alarm=self._alarm(champion, at_most),
            running=running,
            last=last,
            last_trained=trained,
        )
        decision = due(facts, self._settings.triggers)
        return decision if isinstance(decision, NotDue) else self._confirmed(facts, since, at_most)

    def _confirmed(self, facts: Facts, since: datetime, at_most: int) -> Due | NotDue:
        """Count exactly, now that the cheap count says that a run is due."""
        n_new, n_corpus = self._new.exactly(since)
        missing = (self._settings.triggers.volume or 0) - n_new
        self._recount_at = at_most + missing if missing > 0 else 0
        counted = replace(facts, n_new=n_new, n_corpus=n_corpus)
        return due(counted, self._settings.triggers)

    def _alarm(self, champion: Alias, at_most: int) -> Alarm | None:
        """Read the drift anew when a part of the window has passed; else give what was read last."""
        step = self._settings.drift.window_images // STEPS_PER_WINDOW
        if self._read_at and self._read_at[0] == champion.version and 0 <= at_most - self._read_at[1] < step:
            return self._drift.alarm()
        try:
            reading = self._drift.reading(champion)
        except (TransientError, BundleInvalid) as error:
            log.warning("drift cannot be read for now", collection=self._collection, reason=str(error))
            return self._drift.alarm()
        if reading is None:
            return None
        self._read_at = (champion.version, at_most)
        alarm = self._drift.note(reading)
        if alarm.since is not None:
            log.warning("drift", collection=self._collection, since=str(alarm.since), reason=alarm.reason)
        return alarm

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at < TIDY_EVERY_S:
            return
        self._tidied_at = time.monotonic()
        done = compact_finished_days(self._store, self._collection, (datetime.now(UTC) - GRACE).date())
        if done.days:
            log.info("ledger compacted", collection=self._collection, days=done.days, parts=done.parts)
        runs = list(self._runs.all())
        ended = {run.slot for run in runs if run.state != "running"}
        going_on = {run.version for run in runs if run.state == "running" and run.version}
        store, name, before = self._store, self._collection, datetime.now(UTC) - UNFINISHED
        self._remove("what ended runs left", lambda: remove_leftovers(store, name, ended))
        self._remove("unfinished versions", lambda: remove_unfinished(store, name, before, going_on))

    def _remove(self, what: str, remove: Callable[[], object]) -> None:
        """Remove, or say that it stays: it does no harm, and the next hour comes."""
        try:
            remove()
        except (AccessDenied, ObjectNotFound, TransientError) as error:  # another removes it too
            log.warning("not removed for now", collection=self._collection, what=what, reason=str(error))
