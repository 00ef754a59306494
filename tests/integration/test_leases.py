"""The lease scripts on a real Valkey."""

import time
from contextlib import closing

import pytest
import redis

from producer.broker import redis_client
from producer.envelope import Unreadable
from producer.leases import BELL, DUE, LEASED, Lease, Leases
from producer.settings import BrokerSettings

LONG_S, SHORT_S = 60.0, 1.0


@pytest.fixture
def settings(lease_broker: BrokerSettings) -> BrokerSettings:
    return lease_broker


@pytest.fixture
def client(lease_client: "redis.Redis") -> "redis.Redis":
    return lease_client


def holder(settings: BrokerSettings, lease_s: float = LONG_S) -> Leases:
    return Leases(redis_client(settings, text=False), lease_s)


def take(client: "redis.Redis", leases: Leases, *lanes: str) -> Lease | None:
    name = leases.new_name()
    answer = client.execute_command(*leases.reserve_command(name, lanes or ("interactive", "bulk")))  # type: ignore[no-untyped-call]
    if not answer:
        return None
    lease = Lease(name, answer[0].decode(), answer[1], Unreadable("not tried"))
    leases.hold(lease)
    return lease


def test_lanes_are_emptied_in_order_oldest_first(client: "redis.Redis", settings: BrokerSettings) -> None:
    client.lpush("bulk", "b1")
    client.lpush("interactive", "i1", "i2")
    with closing(holder(settings)) as leases:
        taken = [take(client, leases) for _ in range(4)]
    assert [(t.lane, t.raw) if t else None for t in taken] == [
        ("interactive", b"i1"),
        ("interactive", b"i2"),
        ("bulk", b"b1"),
        None,
    ]


def test_any_bytes_come_back_as_they_were(client: "redis.Redis", settings: BrokerSettings) -> None:
    raw = b"\n\x00\xff\nbulk\n" * 1000
    client.lpush("bulk", raw)
    with closing(holder(settings)) as leases:
        lease = take(client, leases)
        assert lease is not None
        leases.give_back(lease.name)
    assert client.lrange("bulk", 0, -1) == [raw]


def test_what_is_released_is_gone_and_leaves_nothing(client: "redis.Redis", settings: BrokerSettings) -> None:
    client.lpush("bulk", "m")
    with closing(holder(settings)) as leases:
        lease = take(client, leases)
        assert lease is not None
        leases.release(lease.name)
        leases.release(lease.name)
    assert client.keys() == []


def test_what_is_given_back_is_next_and_rings_the_bell(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m1", "m2")
    with closing(holder(settings)) as leases:
        first = take(client, leases)
        assert first is not None
        leases.give_back(first.name)
        again = take(client, leases)
        assert again is not None
        assert again.raw == b"m1"
        assert client.llen(BELL) == 0


def test_a_pause_holds_a_message_back_until_it_is_over(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m")
    with closing(holder(settings)) as leases:
        lease = take(client, leases)
        assert lease is not None
        leases.give_back(lease.name, pause_s=1.0)
        leases.keep()
        assert client.llen("bulk") == 0
        wait_for_message(client, leases, "bulk")


def test_after_its_pause_a_message_waits_behind_the_others(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "paused", "other")
    with closing(holder(settings)) as leases:
        lease = take(client, leases)
        assert lease is not None
        leases.give_back(lease.name, pause_s=0.5)
        while client.llen("bulk") < 2:
            leases.keep()
            time.sleep(0.05)
    assert client.lrange("bulk", 0, -1) == [b"paused", b"other"]  # taken from the right


def test_a_bell_of_another_type_loses_no_message(client: "redis.Redis", settings: BrokerSettings) -> None:
    client.set(BELL, "x")
    client.lpush("bulk", "m")
    leases = holder(settings)
    with pytest.raises(redis.exceptions.ResponseError):
        take(client, leases)
    assert client.llen("bulk") + client.hlen(LEASED) >= 1


def test_the_messages_of_a_dead_holder_come_back(client: "redis.Redis", settings: BrokerSettings) -> None:
    client.lpush("bulk", "m")
    name = "of-the-dead"
    with closing(holder(settings, SHORT_S)) as dead, closing(holder(settings)) as living:
        take_without_holding = dead.reserve_command(name, ["bulk"])
        client.execute_command(*take_without_holding)  # type: ignore[no-untyped-call]
        assert client.zcard(DUE) == 1
        wait_for_message(client, living, "bulk")
        assert client.hlen(LEASED) == client.zcard(DUE) == 0


def test_whoever_asks_brings_back_the_messages_of_the_dead_though_it_never_held_one(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m")
    take_without_holding = holder(settings, SHORT_S).reserve_command("of-the-dead", ["bulk"])
    client.execute_command(*take_without_holding)  # type: ignore[no-untyped-call]
    with closing(holder(settings, SHORT_S)) as asks:
        assert take(client, asks) is None
        give_up_at = time.monotonic() + 20
        while not client.llen("bulk"):
            assert time.monotonic() < give_up_at
            time.sleep(0.05)


def test_a_living_holder_keeps_its_message_however_long_it_takes(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m")
    with closing(holder(settings, 2 * SHORT_S)) as leases, closing(holder(settings)) as other:
        lease = take(client, leases)
        ends_at = time.monotonic() + 3 * SHORT_S
        while time.monotonic() < ends_at:
            other.keep()
            assert client.llen("bulk") == 0
            time.sleep(0.1)
        assert lease is not None
        assert leases.start(lease.name) == lease


def test_a_holder_that_slept_too_long_neither_starts_nor_ends_what_others_have(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m")
    with closing(holder(settings)) as slept, closing(holder(settings)) as other:
        lease = take(client, slept)
        assert lease is not None
        client.zadd(DUE, {lease.name: 0})  # as if its lease had run out
        other.keep()
        again = take(client, other)
        assert again is not None
        slept.keep()
        assert slept.start(lease.name) is None
        slept.release(lease.name)
        assert other.start(again.name) == again
        assert client.hlen(LEASED) == 1


def test_only_what_is_in_work_is_kept_when_the_rest_is_given_back(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "m1", "m2")
    with closing(holder(settings)) as leases:
        begun, waiting = take(client, leases), take(client, leases)
        assert begun is not None
        assert waiting is not None
        leases.start(begun.name)
        leases.give_back_waiting()
        assert client.lrange("bulk", 0, -1) == [b"m2"]
        assert list(leases) == [begun]


def test_halves_take_the_place_of_the_whole_in_one_step_and_only_once(
    client: "redis.Redis", settings: BrokerSettings
) -> None:
    client.lpush("bulk", "whole")
    with closing(holder(settings)) as leases:
        lease = take(client, leases)
        assert lease is not None
        assert leases.replace(lease.name, [b"half1", b"half2"])
        assert not leases.replace(lease.name, [b"half1", b"half2"])
        assert sorted(client.lrange("bulk", 0, -1)) == [b"half1", b"half2"]
        assert client.hlen(LEASED) == 0


def test_a_broker_at_its_memory_limit_can_be_drained(client: "redis.Redis", settings: BrokerSettings) -> None:
    client.lpush("bulk", *[b"x" * 10_000] * 20)
    client.config_set("maxmemory", 1)
    with closing(holder(settings)) as leases:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.lpush("bulk", "more")
        first, second = take(client, leases), take(client, leases)
        assert first is not None
        assert second is not None
        leases.release(first.name)
        leases.give_back(second.name)
        leases.keep()
    assert client.llen("bulk") == 19


def wait_for_message(client: "redis.Redis", leases: Leases, lane: str) -> None:
    give_up_at = time.monotonic() + 20
    while not client.llen(lane):
        assert time.monotonic() < give_up_at
        leases.keep()
        time.sleep(0.05)
