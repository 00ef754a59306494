"""The age of what waits, on a real Valkey."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from producer.broker import CLASSIFY
from producer.envelope import envelope
from producer.settings import BrokerSettings
from worker.waiting import waiting


def put(client: "redis.Redis", queue: str, seconds_ago: float | None) -> None:
    fields: dict[str, Any] = {}
    if seconds_ago is not None:
        fields["submitted_at"] = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    client.lpush(queue, envelope(CLASSIFY, "t", fields))


def test_each_lane_tells_how_long_its_next_message_has_waited(
    lease_broker: BrokerSettings, lease_client: "redis.Redis"
) -> None:
    for seconds_ago in (90, 60):
        put(lease_client, "bulk", seconds_ago)
    put(lease_client, "interactive", 5)
    put(lease_client, lease_broker.plain_queue, 30)  # sent without Shoal's client: interactive too
    found = waiting(lease_broker)
    assert [found["interactive"].messages, found["bulk"].messages] == [2, 2]
    assert found["interactive"].oldest_s == pytest.approx(30, abs=5)
    assert found["bulk"].oldest_s == pytest.approx(90, abs=5)


def test_empty_lanes_have_nothing_that_waits(
    lease_broker: BrokerSettings, lease_client: "redis.Redis"
) -> None:
    assert set(waiting(lease_broker).values()) == {(0, 0.0)}


@pytest.mark.parametrize(
    "raw",
    [
        b"x",
        envelope(CLASSIFY, "t", {}),
        envelope(CLASSIFY, "t", {"submitted_at": 5}),
        envelope(CLASSIFY, "t", {"submitted_at": "yesterday"}),
        envelope(CLASSIFY, "t", {"submitted_at": "2026-11-01T00:00:00"}),
        envelope(CLASSIFY, "t", {"submitted_at": "2999-01-01T00:00:00Z"}),
    ],
)
def test_a_message_that_does_not_rightly_say_when_it_was_sent_has_no_age(
    lease_broker: BrokerSettings, lease_client: "redis.Redis", raw: bytes
) -> None:
    lease_client.lpush("bulk", raw)
    assert waiting(lease_broker)["bulk"] == (1, 0.0)
