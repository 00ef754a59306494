"""Holding a run: a sign of life in its record, and proof that nobody else has taken it up.

```
holder     every lease_s / 4: heartbeat + 1, by compare-and-swap
others     an unchanged record, watched for lease_s on one's own monotonic clock -> its holder is dead
           take up: attempt + 1, by compare-and-swap -> the holder's next write fails: RunLost
```

A thread gives the signs of life. It gives none any more once the work has shown no progress for long: a run
that hangs must not hold up all others.

No two clocks are compared, so a clock that jumps kills no run. A holder that was merely stopped (SIGSTOP, a
paused machine) finds out at its next write. It writes just before it publishes and again before it promotes.
What is left is a holder that is paused between that write and the next request to the store:

* before the manifest is written: a whole version appears that no alias points at and no record names;
* before the alias is moved: its version stands in the record, so its successor moves the same alias to the
  same version, by the same expected generation; one of the two does it, the other finds it done.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import structlog

from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, PermanentError, PreconditionFailed, ShoalError
from training.run_record import RunRecord

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 10  # of a write of ours whose answer was lost on the way
BEATS_PER_LEASE: Final = 4


class RunLost(PermanentError):
    """Another trainer has taken this run up: whoever holds it no longer must not write anything."""


@dataclass(frozen=True, slots=True)
class Stall:
    """How long a run may show no progress before its holder gives it up, and what that does besides."""

    limit_s: float
    then: Callable[[], object] = lambda: None


class RunLease:
    """A run that this process holds. A context manager: a thread gives signs of life within it."""

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        record: RunRecord,
        etag: str,
        lease_s: float,
        stall: "Stall | None" = None,
    ) -> None:
        """Hold what was just written as `record`, with this ETag, at `key`; let go of it at a `stall`."""
        self._store = store
        self._key = key
        self._record = record
        self._etag = etag
        self._pause_s = lease_s / BEATS_PER_LEASE
        self._stall = stall
        self._progressed_at = time.monotonic()
        self._lost = self._ended = False
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    @property
    def record(self) -> RunRecord:
        """The run as it was last written."""
        return self._record

    @property
    def held(self) -> bool:
        """Whether this process is at work on the run."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Ask nobody, but tell what the last sign of life found.

        Raises:
            RunLost: somebody else holds the run.
        """
        if self._lost:
            raise RunLost(f"run {self._record.slot} was taken up by another trainer")

    def progressed(self) -> None:
        """Note that the work goes on."""
        self._progressed_at = time.monotonic()

    def save(self, **changes: object) -> RunRecord:
        """Change the record, and prove by that that the run is still ours.

        Raises:
            RunLost: it is not; nothing was written.
            StoreUnavailable: not known; the run must not go on as if it were.
        """
        with self._writing:
            if self._ended and not changes:
                return self._record
            for _ in range(ATTEMPTS):
                self.check()
                wanted = self._record.model_copy(update={"heartbeat": self._record.heartbeat + 1, **changes})
                data = wanted.model_dump_json().encode()
                try:
                    self._etag = self._store.put(self._key, data, if_match=self._etag)
                except PreconditionFailed:
                    self._look_again()
                    continue
                self._record, self._ended = wanted, wanted.state != "running"
                return wanted
        raise PreconditionFailed(f"{self._key} kept changing")

    def end(self, **changes: object) -> RunRecord:
        """Write how it ended.

        Raises:
            RunLost: it is no longer ours to end.
        """
        return self.save(ended_at=datetime.now(UTC), **changes)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look_again(self) -> None:
        """A write was refused: the run is another's, or the answer to an earlier write of ours was lost."""
        try:
            found = self._store.get(self._key)
            present = RunRecord.model_validate_json(found.data)
        except (ObjectNotFound, ValueError):
            self._lost = True
            return
        if present.holder != self._record.holder or present.state != "running":
            self._lost = True
            return
        self._etag = found.etag
        self._record = present

    def _live(self) -> None:
        while not self._over.wait(self._pause_s):
            still_s = time.monotonic() - self._progressed_at
            if self._stall is not None and still_s > self._stall.limit_s:
                log.error("this run makes no progress and is given up", slot=self._record.slot)
                self._stall.then()
                return
            try:
                self.save()
            except RunLost:
                log.warning("this run was taken up by another trainer", slot=self._record.slot)
                return
            except ShoalError as error:
                log.warning("no sign of life could be given", slot=self._record.slot, reason=str(error))


class Watch:
    """Tells which runs give no sign of life, by this process's own monotonic clock."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._unchanged_since: dict[str, tuple[str, float]] = {}  # slot -> ETag, when it was first seen

    def dead(self, states: Iterable[tuple[str, RunRecord]], now_s: float | None = None) -> list[RunRecord]:
        """Look at all runs (ETag, record); give those whose record has not changed for `lease_s`."""
        now_s = time.monotonic() if now_s is None else now_s
        before, self._unchanged_since = self._unchanged_since, {}
        silent = []
        for etag, record in states:
            if record.state != "running":
                continue
            known = before.get(record.slot)
            since = known if known is not None and known[0] == etag else (etag, now_s)
            self._unchanged_since[record.slot] = since
            if now_s - since[1] >= self._lease_s:
                silent.append(record)
        return silent
