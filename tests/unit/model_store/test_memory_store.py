"""What is true of the fake alone; all that it shares with S3: tests/integration/test_object_store.py."""

from contextlib import suppress

from model_store.object_store import MemoryStore
from producer.errors import PreconditionFailed
from tests.racing import RACERS, race


def test_counting_by_swaps_loses_no_count() -> None:
    store = MemoryStore()
    store.put("count", b"0")

    def add_many(_racer: int) -> None:
        added = 0
        while added < 300:
            found = store.get("count")
            with suppress(PreconditionFailed):
                store.put("count", b"%d" % (int(found.data) + 1), if_match=found.etag)
                added += 1

    race(add_many)

    assert store.get("count").data == b"%d" % (300 * RACERS)


def test_a_stored_object_does_not_follow_its_writers_buffer() -> None:
    store, buffer = MemoryStore(), bytearray(b"written")
    store.put("key", memoryview(buffer))  # type: ignore[arg-type] # as libraries may hand bytes over

    buffer[:] = b"changed"

    assert store.get("key").data == b"written"


def test_a_listing_may_be_written_to_while_it_is_read() -> None:
    store = MemoryStore()
    store.put_many(dict.fromkeys("abc", b"x"))

    seen = []
    for info in store.list():
        seen.append(info.key)
        store.delete(info.key)

    assert seen == ["a", "b", "c"]
