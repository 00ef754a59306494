"""What kills workers, and what is no message at all: the worker lives, and all is accounted for."""

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from console.replay import replay
from model_store.dead_letters import DeadLetters
from model_store.results import Results
from producer.broker import CLASSIFY, redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages
from producer.envelope import envelope
from producer.leases import LEASED
from tests.system.faults.fleet import Fleet, fleet
from tests.system.faults.load import Load
from tests.system.faults.report import LONG
from tests.system.running_platform import Platform, picture, wait_until
from tests.unit.producer.test_envelope import MALFORMED

NEIGHBOURS = 255 if LONG else 7
MUTATIONS = 10_000 if LONG else 300
HUGE_BYTES = 64 * 1024 * 1024 if LONG else 4 * 1024 * 1024
PATIENCE_S = 600.0
DONE = {"message done", "message expired", "message kept as dead"}
KEPT = {"message cannot be read, and is kept", "message refused"}  # whatever id it claims to have


@pytest.fixture
def client(platform: Platform) -> "Iterator[redis.Redis]":
    with contextlib.closing(redis_client(platform.broker, text=False)) as connected:
        yield connected


def test_one_poison_picture_costs_its_neighbours_nothing(platform: Platform, client: "redis.Redis") -> None:
    load = Load.on(platform)
    bad = picture(0, 999)
    poison = platform.upload(f"{platform.collection}/poison.png", bad)
    refs = load.refs(NEIGHBOURS)
    for ref in refs:
        load.note(ref)
    images = (*refs[:5], poison, *refs[5:])
    message = ClassifyImages(collection=platform.collection, images=images)
    client.lpush(
        "bulk", envelope(CLASSIFY, message.message_id, message.model_dump(mode="json", exclude_none=True))
    )
    with fleet(platform, 1, FAULT_POISON=hashlib.sha256(bad).hexdigest()) as workers:
        wait_until(lambda: dead(platform) == 1, PATIENCE_S, "the dead letter")
        report = load.settle(f"a picture that kills the worker, among {NEIGHBOURS + 1}", PATIENCE_S)
        wait_until(lambda: nothing_waits(client), 60, "an empty broker")
        assert 0 < workers.deaths <= 12
    results = Results(platform.store, platform.collection)
    result = results.get(poison.image_id)
    assert (result.status, result.error.code if result.error else None) == ("failed", "internal")
    report.faults = {"SIGKILL": workers.deaths}
    report.say()
    assert (report.results, report.lost, report.wrong, report.dead_letters) == (NEIGHBOURS, 0, 0, 1)

    letters = DeadLetters(platform.store, platform.collection)
    (letter,) = letters.list()
    with platform.running("worker", "worker ready"), Producer(platform.broker) as producer:  # cause is gone
        replay(letters, letter.id, producer.send)
        wait_until(lambda: results.get(poison.image_id).status == "assigned", 60, "the picture replayed")
    assert dead(platform) == 0


def test_malformed_and_mutated_messages_stop_nobody_and_are_all_accounted_for(
    platform: Platform, client: "redis.Redis"
) -> None:
    load, rng = Load.on(platform), random.Random(4)  # noqa: S311 - repeatable
    letters_before = len(list(DeadLetters(platform.store, "default").list()))
    bad = [*MALFORMED.values(), b"x" * HUGE_BYTES]
    bad += [mutated(good_letter(load), rng) for _ in range(MUTATIONS)]
    good = [good_letter(load, note=True) for _ in range(50)]
    letters = bad + good
    rng.shuffle(letters)
    with fleet(platform, 1, SHOAL_LOG__FORMAT="json") as workers:
        for letter in letters:
            client.lpush("interactive", letter)
        report = load.settle("malformed and mutated messages", PATIENCE_S)
        wait_until(lambda: accounted(workers, client) == len(letters), 240, "every message accounted for")
        assert workers.deaths == 0
    report.dead_letters = len(list(DeadLetters(platform.store, "default").list())) - letters_before
    report.faults = {"malformed": len(MALFORMED) + 1, "mutated": MUTATIONS}
    report.say()
    assert (report.lost, report.wrong) == (0, 0), report
    assert report.dead_letters >= len(MALFORMED)


def good_letter(load: Load, *, note: bool = False) -> bytes:
    (ref,) = load.refs(1)
    if note:
        load.note(ref)
    message = ClassifyImages(collection=load.platform.collection, images=(ref,))
    return envelope(CLASSIFY, message.message_id, message.model_dump(mode="json", exclude_none=True))


def mutated(letter: bytes, rng: random.Random) -> bytes:
    """Change bytes, types or sizes of a good message."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [
        _bytes_changed,
        _cut,
        _value_changed,
        _field_changed,
    ]
    return rng.choice(ways)(letter, rng)


def _bytes_changed(letter: bytes, rng: random.Random) -> bytes:
    changed = bytearray(letter)
    for _ in range(rng.randint(1, 5)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(letter: bytes, rng: random.Random) -> bytes:
    return letter[: rng.randrange(len(letter))]


ODD: list[Any] = [None, 0, -1, 1e308, "", "x", [], {}, [[]], "A" * 3000, True, "2026-99-99", "\x00\n"]


def _value_changed(letter: bytes, rng: random.Random) -> bytes:
    whole = json.loads(letter)
    place = whole[rng.choice(["headers", "properties"])] if rng.random() < 0.7 else whole
    place[rng.choice(list(place))] = rng.choice(ODD)
    return json.dumps(whole).encode()


def _field_changed(letter: bytes, rng: random.Random) -> bytes:
    whole = json.loads(letter)
    fields = json.loads(whole["body"])[1]
    place = fields["images"][0] if rng.random() < 0.5 else fields
    place[rng.choice([*place, "expires_at", "job_id", "etag", "unknown"])] = rng.choice(ODD)
    if "collection" in place:  # a collection without a model would wait for one
        place["collection"] = fields["collection"] if isinstance(fields["collection"], str) else None
    return json.dumps({**whole, "body": json.dumps([[], fields, {}]), "properties": {}}).encode()


def told(workers: Fleet) -> int:
    """Count the messages of which the log tells an outcome; one that came twice may be told twice."""
    lines = [json.loads(line) for line in workers.logs().splitlines() if line.startswith("{")]
    done = {line["message_id"] for line in lines if line["event"] in DONE}
    return len(done) + len({line["kept_at"] for line in lines if line["event"] in KEPT})


def accounted(workers: Fleet, client: "redis.Redis") -> int:
    """Count the outcomes, and what waits: a byte changed in a collection's name makes one without a model."""
    waiting = client.llen("interactive") + client.hlen(LEASED)
    return told(workers) + int(waiting)


def nothing_waits(client: "redis.Redis") -> bool:
    return not client.hlen(LEASED) and not client.llen("interactive") and not client.llen("bulk")


def dead(platform: Platform) -> int:
    return len(list(DeadLetters(platform.store, platform.collection).list()))
