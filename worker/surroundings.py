"""Broker, store and models, as watchdog and health ask for them."""

import contextlib
from collections.abc import Callable, Mapping

from model_store.s3 import check_bucket
from producer.broker import lane_depths, redis_client
from producer.contracts import Lane, ModelStamp
from worker.settings import Settings
from worker.waiting import Waiting, waiting

ANSWERS_WITHIN_S = 5.0


class Outside:
    """See `watchdog.Surroundings`. Opens its own connections, so that no stuck one is asked."""

    def __init__(self, settings: Settings, serving: Callable[[], Mapping[str, ModelStamp]]) -> None:
        """Connect to nothing yet."""
        broker, store = settings.broker, settings.store
        limit_s = min(ANSWERS_WITHIN_S, broker.socket_timeout_s)
        self._broker = broker.model_copy(
            update={
                "socket_timeout_s": limit_s,
                "connect_timeout_s": min(limit_s, broker.connect_timeout_s),
            }
        )
        self._store = store.model_copy(
            update={"timeout_s": min(ANSWERS_WITHIN_S, store.timeout_s), "max_retries": 0}
        )
        self._serving = serving

    def waiting(self) -> int:
        """Count the messages in the lanes.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with contextlib.closing(redis_client(self._broker)) as client:
            return sum(lane_depths(client, self._broker).values())

    def lanes(self) -> dict[Lane, Waiting]:
        """Tell what waits in each lane, and since when.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        return waiting(self._broker)

    def store_answers(self) -> None:
        """Ask for Shoal's bucket.

        Raises:
            StoreUnavailable, AccessDenied, ObjectNotFound: it cannot be worked with.
        """
        check_bucket(self._store.bucket, self._store)

    def model_awaited(self) -> bool:
        """Tell whether no collection has a model yet."""
        return not self._serving()
