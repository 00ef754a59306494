"""Whether this worker lives, and whether it can answer messages now."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from model_store.counted import counted
from producer.contracts import ModelStamp
from producer.errors import ShoalError
from worker.progress import Progress
from worker.watchdog import Surroundings

KEPT_S: Final = 1.0  # an answer serves all who ask within this time: the store is not to be hammered


class Check(NamedTuple):
    """One line of an answer."""

    name: str
    ok: bool
    detail: str


class Health:
    """Answers for this process. Thread-safe."""

    def __init__(
        self,
        surroundings: Surroundings,
        progress: Progress,
        serving: Callable[[], Mapping[str, ModelStamp]],
        state: Callable[[], str],
        message_limit_s: float,
    ) -> None:
        self._surroundings = surroundings
        self._progress = progress
        self._serving = serving
        self._state = state
        self._message_limit_s = message_limit_s
        self._lock = threading.Lock()
        self._ready: list[Check] = []
        self._looked_at = float("-inf")

    def alive(self) -> list[Check]:
        """Tell whether it works; if not, starting it again may help."""
        return [progress_check(self._progress, self._message_limit_s)]

    def ready(self) -> list[Check]:
        """Tell whether it would answer a message now."""
        with self._lock:
            if time.monotonic() - self._looked_at > KEPT_S:
                self._ready = [
                    self._answers("broker", self._surroundings.waiting),
                    self._answers("store", self._surroundings.store_answers),
                    model_check(self._serving()),
                    Check("state", self._state() == "ready", self._state()),
                    *self.alive(),
                ]
                self._looked_at = time.monotonic()
            return self._ready

    @staticmethod
    def _answers(name: str, ask: Callable[[], object]) -> Check:
        try:
            ask()
        except ShoalError as error:
            return Check(name, ok=False, detail=str(error))
        return Check(name, ok=True, detail="answers")


def model_check(serving: Mapping[str, ModelStamp]) -> Check:
    """Tell which models are loaded; not well without any."""
    loaded = ", ".join(f"{name}: {stamp.version}" for name, stamp in sorted(serving.items()))
    return Check("model", bool(loaded), loaded or "waits for a first model")


def progress_check(progress: Progress, message_limit_s: float) -> Check:
    """Tell when something was last taken or finished; not well when a message hangs."""
    ages_s = progress.ages_s()
    oldest_s = max(ages_s.values(), default=0.0)
    idle_s = progress.clock() - progress.last_at
    detail = f"{idle_s:.0f} s ago, {counted(len(ages_s), 'message')} in work, the oldest for {oldest_s:.0f} s"
    return Check("last progress", oldest_s <= message_limit_s, detail)
