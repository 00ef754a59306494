"""After a promotion: pictures whose answer may change are classified again, without haste.

```
take backfills/{generation}            another works on it -> nothing to do
days of the ledger, newest first       backfill_plan.py decides
bulk lane, reclassify                  so many pictures a second; a full queue is waited for
days that grew meanwhile, again        what an older model answered until the workers had swapped
done; or stopped, when the champion moves or the process ends
```
Going on after a stop costs no second answer but for what is still in the queue: what the champion answered
stands in the ledger. A result is never replaced by one of an older model (`results.supersedes`).
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import structlog
from pydantic import BaseModel, ConfigDict, Field

from model_store.ledger import Ledger
from model_store.ledger_day import Day
from model_store.object_store import ObjectStore
from model_store.registry import Alias, Registry
from model_store.tombstones import Tombstones
from producer.client import Producer
from producer.contracts import ImageRef
from producer.errors import BrokerUnavailable, QueueFull, ShoalError
from training.backfill_plan import COLUMNS, Plan, same_space
from training.backfill_record import BackfillRecord, Held, take
from training.progress import Progress

log = structlog.get_logger(__name__)

PAUSE_S: Final = 1.0  # when the queue is full
LOOKS: Final = 10  # at most, for what an older model answers meanwhile


class BackfillSettings(BaseModel):
    """Renewing answers after a promotion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    automatic: bool = Field(False, description="the trainer does it after every promotion, by hand or not")
    images_per_s: float = Field(200.0, gt=0, description="submitted at most; they wait behind all others")


class Stopped(Exception):
    """The backfill ends before its end; says why."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a backfill would do."""

    version: str
    generation: int
    pictures: int
    stay: int  # of an older model, and surely the same by the champion
    submit: int
    moves: dict[tuple[str, str], int]  # the known ones

    @property
    def left_alone(self) -> int:
        """Pictures that the champion answered already, or that have no cluster: rejected or failed."""
        return self.pictures - self.stay - self.submit


class Backfill:
    """Renews the answers of one collection."""

    def __init__(
        self, store: ObjectStore, registry: Registry, settings: BackfillSettings, stop: threading.Event
    ) -> None:
        """Prepare; `stop` ends it within seconds, to be gone on with later."""
        self._store = store
        self._registry = registry
        self._ledger = Ledger(store, registry.collection)
        self._tombstones = Tombstones(store, registry.collection)
        self._settings = settings
        self._stop = stop

    def outlook(self, progress: Progress) -> Outlook:
        """Tell what it would do.

        Raises:
            NoChampion: the collection has no model.
        """
        champion = self._registry.current()
        plan, days, submit = self._plan(champion), self._days(), 0
        progress.stage("look", len(days))
        for done, day in enumerate(days, start=1):
            submit += len(plan.next(self._table(day), self._tombstones.recent()))
            progress.advance(done)
        moves = dict(plan.moves.most_common())
        return Outlook(champion.version, champion.generation, plan.looked_at, plan.stay, submit, moves)

    def run(self, producer: Producer, progress: Progress) -> BackfillRecord | None:
        """Do it, or go on with it; None if another process does, or it is done already.

        Raises:
            NoChampion: the collection has no model.
            PreconditionFailed: another process took it over, since this one was silent for too long.
            StoreUnavailable, BrokerUnavailable: it was cut short, and can be gone on with.
        """
        champion = self._registry.current()
        held = take(self._store, self._registry.collection, champion.generation, champion.version)
        if held is None:
            return None
        try:
            self._run(champion, held, producer, progress)
        except Stopped as why:
            held.write(state="stopped", reason=str(why))
        except BaseException as error:  # Ctrl-C too: the next one need not wait until this one is given up
            with contextlib.suppress(ShoalError):
                held.write(state="stopped", reason=f"cut short: {type(error).__name__}: {error}")
            raise
        else:
            held.write(state="done")
        log.info("backfill ends", collection=held.record.collection, **_figures(held.record))
        return held.record

    def _run(self, champion: Alias, held: Held, producer: Producer, progress: Progress) -> None:
        plan, started_on = self._plan(champion), f"dt={held.record.started_at:%Y-%m-%d}"
        days = self._days()
        progress.stage("backfill", len(days))
        looked = set[str]()  # messages of days that may still grow
        for done, day in enumerate(days, start=1):
            table = self._table(day)
            refs = plan.next(table, self._tombstones.recent())
            begun = held.record.through
            if begun is None or day.folder < begun or _name(day) >= started_on:
                self._submit(refs, champion, held, producer)
                held.write(through=day.folder)
            if _name(day) >= started_on:
                looked.update(table["message_id"].to_pylist())
            progress.advance(done)
        self._look_again(champion, started_on, looked, held, producer)

    def _look_again(
        self, champion: Alias, since: str, looked: set[str], held: Held, producer: Producer
    ) -> None:
        """Submit what an older model answered meanwhile: new pictures, and renewals.

        The latter are rare, as a worker looks at the champion before it renews. One that refuses the champion
        may answer so again and again, hence the limit.
        """
        for look in range(1, LOOKS + 1):
            late = self._answered_late(champion, since, looked)
            if not late:
                return
            log.info("answered by an older model meanwhile", pictures=len(late), look=look)
            self._submit(late, champion, held, producer)
        reason = (
            f"in each of {LOOKS} looks there were new answers of an older model: which worker refuses it?"
        )
        held.write(reason=reason)

    def _answered_late(self, champion: Alias, since: str, looked: set[str]) -> list[ImageRef]:
        plan, late = self._plan(champion), list[ImageRef]()
        for day in self._days():
            if _name(day) < since:
                continue
            table = self._table(day)
            new = [message not in looked for message in table["message_id"].to_pylist()]
            late += plan.next(table.filter(pa.array(new, pa.bool_())), self._tombstones.recent())
            looked.update(table["message_id"].to_pylist())
        return late

    def _plan(self, champion: Alias) -> Plan:
        bundle = self._registry.load(champion, "cpu")
        comparable = (m.version for m in self._registry.versions() if same_space(bundle.manifest, m))
        return Plan(bundle, champion.generation, frozenset(comparable))

    def _days(self) -> list[Day]:
        return list(self._ledger.days())[::-1]

    def _table(self, day: Day) -> pa.Table:
        return self._ledger.day_table(day, COLUMNS)

    def _submit(self, refs: list[ImageRef], champion: Alias, held: Held, producer: Producer) -> None:
        for ref in self._paced(refs, champion, held):
            while True:
                try:
                    producer.submit(ref, collection=held.record.collection, lane="bulk", reclassify=True)
                    break
                except (QueueFull, BrokerUnavailable) as error:
                    log.warning("the backfill waits", reason=str(error))
                    self._look_up(champion, held)
                    if self._stop.wait(PAUSE_S):
                        raise Stopped("the process ends") from error
        producer.flush()
        held.write(submitted=held.record.submitted + len(refs))

    def _paced(self, refs: Iterable[ImageRef], champion: Alias, held: Held) -> Iterator[ImageRef]:
        """Give them no faster than the settings say, and look up now and then."""
        due = time.monotonic()
        for ref in refs:
            pause_s = due - time.monotonic()
            if self._stop.wait(max(0.0, pause_s)) if pause_s > 0 else self._stop.is_set():
                raise Stopped("the process ends")
            if held.is_due:
                self._look_up(champion, held)
            yield ref
            # what a full queue held up is caught up with, for a second
            due = max(due, time.monotonic() - 1) + 1 / self._settings.images_per_s

    def _look_up(self, champion: Alias, held: Held) -> None:
        now = self._registry.current()
        if now.generation != champion.generation:
            raise Stopped(f"the champion is {now.version} by now, generation {now.generation}")
        held.write()


def _name(day: Day) -> str:
    return day.folder.rstrip("/").rpartition("/")[2]


def _figures(record: BackfillRecord) -> dict[str, object]:
    return record.model_dump(include={"state", "reason", "generation", "version", "submitted"})
