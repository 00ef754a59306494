"""The trainer's backfills: a thread that sees every promotion, by whomever, and renews answers after it."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from producer.client import Producer
from producer.errors import NoChampion
from producer.settings import BrokerSettings
from training.backfill import Backfill
from training.progress import Silent

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 10.0


class AutoBackfill:
    """Goes on with what a trainer before it has begun. Beside others: of several trainers one does it."""

    def __init__(
        self,
        backfill: Callable[[str, threading.Event], Backfill],
        collections: Sequence[str],
        broker: BrokerSettings,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Start looking."""
        self._backfill = backfill
        self._collections = collections
        self._broker = broker
        self._look_every_s = look_every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backfill", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within seconds; what is half done is gone on with later."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        with Producer(self._broker) as producer:
            while not self._closed.wait(self._look_every_s):
                for collection in self._collections:
                    self._look(collection, producer)

    def _look(self, collection: str, producer: Producer) -> None:
        try:
            self._backfill(collection, self._closed).run(producer, Silent())
        except NoChampion:
            return
        except Exception as error:  # noqa: BLE001 - the thread must live on; the next look goes on with it
            log.warning("the backfill was cut short", collection=collection, reason=str(error))
