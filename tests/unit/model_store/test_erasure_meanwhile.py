"""An erasure that is cut short, or overtaken by what others write."""

import contextlib

import pytest

from model_store.erasure import Erasure
from model_store.object_store import MemoryStore
from producer.errors import PreconditionFailed, StoreUnavailable
from tests.tiny_model import TinyBundle
from tests.unit.model_store.erasable import Place, answer, filled


@pytest.fixture
def place(store: MemoryStore, tiny_bundle: TinyBundle) -> Place:
    return filled(store, tiny_bundle)


class Failing(MemoryStore):
    """Fails at the n-th change."""

    def __init__(self, whole: MemoryStore, at: int) -> None:
        super().__init__()
        self.left = -1
        for info in whole.list():
            super().put(info.key, whole.get(info.key).data)
        self.left = at

    def change(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StoreUnavailable("away")

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        self.change()
        return super().put(key, data, create_only=create_only, if_match=if_match)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        self.change()
        super().delete(key, if_match=if_match)


def test_an_erasure_that_was_cut_short_anywhere_is_completed_by_the_next(place: Place) -> None:
    at = 0
    while True:
        at += 1
        store, uploads = Failing(place.store, at), MemoryStore()
        uploads.put("img_1.png", b"1")
        erasure = Erasure(store, "default", {"uploads": uploads})
        try:
            erasure.run(["img_1"], request="r", originals=True)
        except StoreUnavailable:
            erasure.run(["img_1"], request="r", originals=True)
            assert list(erasure.verify(["img_1"])) == []
            assert list(uploads.list()) == []
            continue
        break
    assert at > 10


def test_a_part_that_is_rewritten_meanwhile_is_looked_at_again(place: Place) -> None:
    part = answer(place.store, "img_1", "img_2")
    both = place.store.get(part).data

    class Racing(MemoryStore):
        raced = False

        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            if key == part and if_match and not self.raced:  # a second delivery, between reading and writing
                self.raced = True
                super().put(key, both + b" ")
                super().put(key, both)
                super().delete(key)
                super().put(key, both)
                if_match = "other"
            return super().put(key, data, create_only=create_only, if_match=if_match)

    racing = Racing()
    vars(racing).update(vars(place.store))
    Erasure(racing, "default", {}).run(["img_1"])
    assert racing.raced
    assert place.named("img_1") == []


def test_what_appears_while_it_looks_is_found_by_the_second_look(place: Place) -> None:
    part = place.store.get(answer(place.store, "img_1", "img_9")).data
    passed_already = "default/ledger/compacted.parquet"

    def compact(_: int) -> None:
        with contextlib.suppress(PreconditionFailed):
            place.store.put(passed_already, part, create_only=True)

    place.erasure.run(["img_1"], on_progress=compact)

    assert place.named("img_1") == []
    assert place.named("img_9")
