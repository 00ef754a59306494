import pytest

from model_store.erasure import Erasure
from model_store.object_store import MemoryStore
from producer.ulid import new_ulid
from worker.dead_letters import WorkersDeadLetters


def images(*image_ids: str) -> dict[str, object]:
    return {"images": [{"image_id": image_id, "bucket": "u", "key": "k"} for image_id in image_ids]}


@pytest.mark.parametrize("ids", [("a", "b"), ("a",)])
def test_an_erased_picture_does_not_come_back_as_a_dead_letter(ids: tuple[str, ...]) -> None:
    store = MemoryStore()
    Erasure(store, "default", {}).run(["a"])
    letters = WorkersDeadLetters(store, "default")

    letters.keep(new_ulid(), images(*ids), "killed three workers")

    assert list(Erasure(store, "default", {}).verify(["a"])) == []
    kept = [letter.message for letter in letters.list()]
    assert kept == ([images("b")] if "b" in ids else [])


def test_a_letter_of_pictures_that_nobody_erased_is_kept_as_it_is() -> None:
    store = MemoryStore()
    Erasure(store, "default", {}).run(["c"])
    letters = WorkersDeadLetters(store, "default")
    letters.keep(new_ulid(), images("a", "b"), "killed three workers", raw=b"c")
    (letter,) = letters.list()
    assert letter.message == images("a", "b")
