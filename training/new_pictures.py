"""How many pictures are new: a cheap count that may be too high, and an exact one for when it matters."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from model_store.ledger import Ledger
from model_store.object_store import ObjectStore
from model_store.tombstones import Tombstones
from producer.errors import ObjectNotFound
from training.snapshot import COLUMNS, USABLE, distinct, usable

BACKLOG: Final = timedelta(days=7)  # days are of messages, and a message may wait before it is done
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class NewPictures:
    """Counts the usable pictures of one collection."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._tombstones = Tombstones(store, collection)
        self._ledger = Ledger(store, collection)
        self._since: datetime | None = None
        self._counts: dict[str, int] = {}  # by file, which each is read once

    def at_most(self, since: datetime) -> int:
        """Count rows since a moment: a picture that was classified twice or known before counts again.

        What waited for longer than a week is not counted, here.
        """
        if since != self._since:
            self._since, self._counts = since, {}
        before, self._counts = self._counts, {}
        for day in self._ledger.days(since=(since - BACKLOG).date() if since > EARLIEST else None):
            files = [*day.compacted[-1:], *day.parts]
            self._counts |= {key: before[key] for key in files if key in before}
            for key in (key for key in files if key not in before):
                try:
                    [table] = day.read([key], ["status", "allow_training", "classified_at"])
                except ObjectNotFound:  # compacted meanwhile: counted the next time
                    continue
                self._counts[key] = _count(table, since)
        return sum(self._counts.values())

    def exactly(self, since: datetime) -> tuple[int, int]:
        """Count the different pictures first seen since a moment, and all; reads the whole ledger."""
        erased = self._tombstones.now()
        pictures = distinct(usable(self._ledger.tables(COLUMNS), erased).sort_by("first_at"))
        new = pc.sum(pc.greater(pictures["first_at"], pa.scalar(since, pa.timestamp("ms", tz="UTC"))))
        return new.as_py() or 0, len(pictures)


def _count(table: pa.Table, since: datetime) -> int:
    wanted = pc.and_(
        pc.and_(table["allow_training"], pc.is_in(table["status"], value_set=pa.array(USABLE))),
        pc.greater(table["classified_at"], pa.scalar(since, pa.timestamp("ms", tz="UTC"))),
    )
    return pc.sum(wanted).as_py() or 0
