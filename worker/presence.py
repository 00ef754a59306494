"""Tells the others in Redis that this worker lives, and which models it serves: for `shoal status`."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import redis
import structlog

from producer.contracts import ModelStamp
from producer.presence import PREFIX
from worker.progress import Progress
from worker.refusal import Refusal

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0
FORGOTTEN_AFTER_S: Final = 15

State = Literal["starting", "ready", "draining"]


class Presence:
    """A key of this worker's own, renewed while it lives and forgotten soon after it died."""

    def __init__(
        self,
        client: "redis.Redis",
        name: str,
        device: str,
        serving: Callable[[], Mapping[str, ModelStamp]],
        refused: Callable[[], Mapping[str, Refusal]],
        awaited: Callable[[], Sequence[str]],
        progress: Progress,
    ) -> None:
        """Start telling."""
        self.state: State = "starting"
        self._progress = progress
        self._client = client
        self._name = name
        self._device = device
        self._serving = serving
        self._refused = refused
        self._awaited = awaited
        self._started_at = datetime.now(UTC)
        self._closed = threading.Event()
        self._news = threading.Event()
        self._heard = False  # the last time: else a good-bye would not be heard either
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def tell(self, state: State) -> None:
        """Tell another state, at once."""
        self.state = state
        self._news.set()

    def close(self) -> None:
        """Say good-bye."""
        self._closed.set()
        self._news.set()
        self._thread.join()
        if self._heard:
            try:
                self._client.delete(PREFIX + self._name)
            except redis.exceptions.RedisError as error:
                log.info("the broker is gone, presence will expire", reason=str(error))
        self._client.close()

    def _record(self) -> dict[str, Any]:
        now, ages_s = datetime.now(UTC), self._progress.ages_s()
        idle = timedelta(seconds=self._progress.clock() - self._progress.last_at)
        return {
            "worker": self._name,
            "device": self._device,
            "state": self.state,
            "started_at": self._started_at.isoformat(),
            "seen_at": now.isoformat(),
            "last_progress_at": (now - idle).isoformat(),
            "in_work": len(ages_s),
            "oldest_in_work_s": max(ages_s.values(), default=0.0),
            "models": {name: stamp.model_dump() for name, stamp in self._serving().items()},
            "refused": {name: refusal._asdict() for name, refusal in self._refused().items()},
            "awaited": list(self._awaited()),
        }

    def _run(self) -> None:
        while not self._closed.is_set():
            self._news.clear()
            try:
                self._client.set(PREFIX + self._name, json.dumps(self._record()), ex=FORGOTTEN_AFTER_S)
                self._heard = True
            except (redis.exceptions.RedisError, OSError) as error:
                self._heard = False
                log.warning("presence could not be told", reason=str(error))
            self._news.wait(EVERY_S)
