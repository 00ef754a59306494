from collections.abc import Iterator

import pytest

from model_store import tombstones
from model_store.layout import Layout
from model_store.object_store import MemoryStore, ObjectInfo, StoredObject
from model_store.tombstones import Tombstones


class Counting(MemoryStore):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = self.lists = 0

    def get(self, key: str) -> StoredObject:
        self.gets += 1
        return super().get(key)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        self.lists += 1
        return super().list(prefix, start_after=start_after)


def test_a_reader_that_looked_before_sees_an_erasure_at_its_next_look() -> None:
    store = MemoryStore()
    reader = Tombstones(store, "default")
    assert reader.now() == frozenset()

    Tombstones(store, "default").set(["img_1", "img_2"], "r1")
    assert reader.now() == {"img_1", "img_2"}
    Tombstones(store, "default").set(["img_3"], "r2")
    assert reader.now() == {"img_1", "img_2", "img_3"}


def test_a_look_without_news_is_one_small_read() -> None:
    store = Counting()
    reader = Tombstones(store, "default")
    reader.set(["img_1"], "r1")
    reader.now()
    store.gets = store.lists = 0

    for _ in range(5):
        reader.now()

    assert (store.gets, store.lists) == (5, 0)


def test_the_recent_state_is_not_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Counting()
    reader = Tombstones(store, "default")
    for _ in range(5):
        reader.recent()
    assert store.gets == 1

    Tombstones(store, "default").set(["img_1"], "r1")
    monkeypatch.setattr(tombstones, "FRESH_S", 0.0)
    assert reader.recent() == {"img_1"}


def test_a_listing_that_is_overtaken_by_another_erasure_is_read_again() -> None:
    class Overtaken(MemoryStore):
        overtaken_by = ""

        def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
            found = list(super().list(prefix, start_after=start_after))
            if self.overtaken_by:  # after the listing, before it is known
                image_id, self.overtaken_by = self.overtaken_by, ""
                Tombstones(self, "default").set([image_id], "r")
            return iter(found)

    store = Overtaken()
    Tombstones(store, "default").set(["img_1"], "r")
    store.overtaken_by = "img_2"
    reader = Tombstones(store, "default")
    assert reader.now() == {"img_1"}
    assert reader.now() == {"img_1", "img_2"}


def test_collections_have_tombstones_of_their_own() -> None:
    store = MemoryStore()
    Tombstones(store, "default").set(["img_1"], "r")
    assert Tombstones(store, "default2").now() == frozenset()
    assert store.get(Layout("default").tombstone("img_1"))
