"""Which workers serve a champion by now."""

import contextlib
import time
from typing import Any, Final, NamedTuple

from console.output import Bars
from model_store.registry import Alias
from producer.broker import redis_client
from producer.presence import workers
from producer.settings import BrokerSettings

LOOK_EVERY_S: Final = 0.2


class Serving(NamedTuple):
    """One living worker, as it told last."""

    worker: str
    has_it: bool
    generation: int | None  # that it serves
    refused: str = ""  # why it does not take the champion


def wait_until_served(
    broker: BrokerSettings, alias: Alias, collection: str, patience_s: float
) -> list[Serving]:
    """Wait until every living worker that serves the collection serves this champion, or a later one.

    Workers that were not asked for the collection yet have no model of it, and will load the champion.
    Does not wait for one that refuses it.

    Returns:
        All living workers that serve the collection, whether they have it or not: time may have run out.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    give_up_at = time.monotonic() + patience_s
    with contextlib.closing(redis_client(broker)) as client, Bars() as bars:
        bars.stage("swap")
        while True:
            told = (_serving(record, alias, collection) for record in workers(client, broker))
            found = [serving for serving in told if serving is not None]
            bars.advance(sum(serving.has_it for serving in found), len(found))
            done = all(serving.has_it or serving.refused for serving in found)
            if done or time.monotonic() > give_up_at:
                return found
            time.sleep(LOOK_EVERY_S)


def _serving(record: dict[str, Any], alias: Alias, collection: str) -> Serving | None:
    stamp = record["models"].get(collection)
    refusal = record.get("refused", {}).get(collection) or {}
    if stamp is None and not refusal:
        return None
    generation = stamp["generation"] if stamp else None
    has_it = generation is not None and generation >= alias.generation
    refused = refusal.get("generation") is not None and refusal["generation"] >= alias.generation
    return Serving(record["worker"], has_it, generation, str(refusal["reason"]) if refused else "")
