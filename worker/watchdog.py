"""Ends a worker that lives and does nothing, so that its supervisor starts it again.

Two things may not last: messages wait and none is taken, or one message (or one pass of the device) is in
work. Neither counts while broker or store are away or the process itself was stopped, the first not while
no model was ever loaded.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from producer.errors import ShoalError
from worker.progress import Progress

log = structlog.get_logger(__name__)

HANGS: Final = os.EX_TEMPFAIL  # 75: start it again
LOOKS_PER_LIMIT: Final = 8
LONGEST_PAUSE_S: Final = 5.0
LATE_S: Final = 2.0  # a busy machine's share
DEADMAN_S: Final = 60.0  # over the limit: the watchdog itself is kept from running


class Surroundings(Protocol):
    """What the watchdog asks of the world outside."""

    def waiting(self) -> int:
        """Count the messages in the lanes; raises ShoalError if the broker does not answer."""

    def store_answers(self) -> None:
        """Raise ShoalError if the store does not answer."""

    def model_awaited(self) -> bool:
        """Tell whether no collection has a model yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may last."""

    stall_s: float
    message_s: float


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows. Times are seconds of one monotonic clock."""

    now: float
    last_progress_at: float
    in_work: Mapping[str, float]  # since when
    could_take_since: float  # messages wait, and nothing is in the way
    could_work_since: float  # nothing is in the way


def verdict(sight: Sight, limits: Limits) -> str | None:
    """Tell what hangs, or None."""
    for name, since in sight.in_work.items():
        age_s = sight.now - max(since, sight.could_work_since)
        if age_s > limits.message_s:
            return f"{name} is in work for {age_s:.0f} s, the limit is {limits.message_s:g} s"
    idle_s = sight.now - max(sight.last_progress_at, sight.could_take_since)
    if not sight.in_work and idle_s > limits.stall_s:
        return f"messages wait and none was taken for {idle_s:.0f} s, the limit is {limits.stall_s:g} s"
    return None


class Watchdog:
    """The thread that looks. `device_busy_since` tells since when the device is at one pass, if it is."""

    def __init__(
        self,
        progress: Progress,
        surroundings: Surroundings,
        limits: Limits,
        device_busy_since: Callable[[], float | None],
        end: Callable[[str], None] | None = None,
    ) -> None:
        """Start nothing yet. `end` is called with what hangs; by default the process ends, status 75."""
        self._progress = progress
        self._surroundings = surroundings
        self._limits = limits
        self._device_busy_since = device_busy_since
        self._end = end or self._end_process
        self._pause_s = min(LONGEST_PAUSE_S, min(limits.stall_s, limits.message_s) / LOOKS_PER_LIMIT)
        self._looked_at = self._could_take_since = self._could_work_since = progress.clock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def look(self) -> str | None:
        """Look once; tells what hangs, or None."""
        now = self._progress.clock()
        if now - self._looked_at > 4 * self._pause_s + LATE_S:  # we were stopped (SIGSTOP, suspended machine)
            self._excuse(now)
        try:
            return self._look(now)
        finally:
            self._looked_at = self._progress.clock()  # a look may take long where servers are away

    def _look(self, now: float) -> str | None:
        try:
            if self._surroundings.waiting() == 0:
                self._could_take_since = now
        except ShoalError:
            self._excuse(now)
        half = Limits(self._limits.stall_s / 2, self._limits.message_s / 2)
        if verdict(self._sight(), half) is None:
            return None
        try:
            self._surroundings.store_answers()  # asked only now: no load while all is well
        except ShoalError:
            self._excuse(now)
        if self._surroundings.model_awaited():
            self._could_take_since = now
        return verdict(self._sight(), self._limits)

    def _sight(self) -> Sight:
        in_work = {f"message {name}": since for name, since in self._progress.in_work().items()}
        busy_since = self._device_busy_since()
        if busy_since is not None:
            in_work["a pass of the device"] = busy_since
        return Sight(
            self._progress.clock(),
            self._progress.last_at,
            in_work,
            self._could_take_since,
            self._could_work_since,
        )

    def _excuse(self, now: float) -> None:
        self._could_take_since = self._could_work_since = now

    def _run(self) -> None:
        while not self._closed.wait(self._pause_s):
            # from C, should something hold Python's lock for good
            faulthandler.dump_traceback_later(self._limits.message_s + DEADMAN_S, exit=True)
            try:
                hanging = self.look()
            except Exception:
                log.exception("the watchdog could not look")
                continue
            if hanging is not None:
                self._end(hanging)

    def _end_process(self, hanging: str) -> None:
        ages_s = self._progress.ages_s()
        log.critical("the worker hangs and ends, to be started again", reason=hanging, in_work_s=ages_s)
        faulthandler.dump_traceback(all_threads=True)
        end_now(HANGS)


def end_now(status: int) -> None:
    """End the process without waiting for any thread of it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
