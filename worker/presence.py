"""Tells the others in Redis that this worker lives, and which models it serves: for `shoal status`."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import redis
import structlog

from producer.contracts import ModelStamp
from producer.presence import PREFIX
from worker.model_cache import Refusal

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0
FORGOTTEN_AFTER_S: Final = 15


class Presence:
    """A key of this worker's own, renewed while it lives and forgotten soon after it died."""

    def __init__(
        self,
        client: "redis.Redis",
        name: str,
        device: str,
        serving: Callable[[], Mapping[str, ModelStamp]],
        refused: Callable[[], Mapping[str, Refusal]],
    ) -> None:
        """Start telling."""
        self._client = client
        self._name = name
        self._device = device
        self._serving = serving
        self._refused = refused
        self._started_at = datetime.now(UTC)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say good-bye."""
        self._closed.set()
        self._thread.join()
        try:
            self._client.delete(PREFIX + self._name)
        except redis.exceptions.RedisError as error:
            log.info("the broker is gone, presence will expire", reason=str(error))
        self._client.close()

    def _run(self) -> None:
        while True:
            record = {
                "worker": self._name,
                "device": self._device,
                "started_at": self._started_at.isoformat(),
                "seen_at": datetime.now(UTC).isoformat(),
                "models": {name: stamp.model_dump() for name, stamp in self._serving().items()},
                "refused": {name: refusal._asdict() for name, refusal in self._refused().items()},
            }
            try:
                self._client.set(PREFIX + self._name, json.dumps(record), ex=FORGOTTEN_AFTER_S)
            except (redis.exceptions.RedisError, OSError) as error:
                log.warning("presence could not be told", reason=str(error))
            if self._closed.wait(EVERY_S):
                return
