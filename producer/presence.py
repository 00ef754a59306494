"""Which workers are alive, as they tell in Redis themselves."""

import json
from typing import Any, Final

import redis

from producer.broker import broker_errors
from producer.settings import BrokerSettings

PREFIX: Final = "shoal:worker:"


def workers(client: "redis.Redis", settings: BrokerSettings) -> list[dict[str, Any]]:
    """List the living workers, each with its name, device, times and models by collection.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with broker_errors(settings):
        keys = sorted(client.scan_iter(match=PREFIX + "*"))
        told = client.mget(keys) if keys else []
    return [json.loads(record) for record in told if record]
