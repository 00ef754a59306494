import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from model_store.dead_letters import DeadLetters
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from producer.errors import InvalidReference, ObjectNotFound, PreconditionFailed, StoreUnavailable
from producer.ulid import new_ulid

RAW = b"\x00not json\xff"


class Journal(MemoryStore):
    """Remembers the order of its writes, and fails at one of them."""

    def __init__(self, fails_at: str = "none") -> None:
        super().__init__()
        self.written: list[str] = []
        self._fails_at = fails_at

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        if key.endswith(self._fails_at):
            raise StoreUnavailable("away")
        self.written.append(key)
        return super().put(key, data, create_only=create_only, if_match=if_match)


@pytest.fixture
def store() -> Journal:
    return Journal()


@pytest.fixture
def letters(store: Journal) -> DeadLetters:
    return DeadLetters(store, "default")


def test_a_letter_comes_back_as_it_was_kept(letters: DeadLetters) -> None:
    before = datetime.now(UTC)
    message = {"images": [1, None, {"a": "é"}]}
    letters.keep("m1", message, "too big", history=("first", "second"), queue="bulk")
    letter = letters.get("m1")
    assert (letter.id, letter.message, letter.error, letter.queue) == ("m1", message, "too big", "bulk")
    assert letter.history == ("first", "second")
    assert before <= letter.died_at <= datetime.now(UTC)
    assert letter.raw_size is None


def test_raw_bytes_are_written_before_the_letter_that_speaks_of_them(
    store: Journal, letters: DeadLetters
) -> None:
    key = letters.keep("m1", None, "not JSON", raw=RAW)
    assert store.written == [Layout("default").dead_raw("m1"), key]
    letter = letters.get("m1")
    assert (letter.raw_size, letter.raw_sha256) == (len(RAW), hashlib.sha256(RAW).hexdigest())
    assert letters.raw("m1") == RAW


@pytest.mark.parametrize("fails_at", [".raw", ".json"])
def test_a_letter_whose_parts_cannot_be_stored_is_not_seen(fails_at: str) -> None:
    letters = DeadLetters(Journal(fails_at), "default")
    with pytest.raises(StoreUnavailable):
        letters.keep("m1", None, "not JSON", raw=RAW)
    assert list(letters.list()) == []


def test_a_message_that_dies_twice_is_one_letter(letters: DeadLetters) -> None:
    message_id = new_ulid(0)
    letters.keep(message_id, {}, "first")
    letters.keep(message_id, {}, "second")
    assert [letter.error for letter in letters.list()] == ["second"]


def test_letters_are_listed_without_their_raw_bytes(letters: DeadLetters) -> None:
    for name in ("b", "a", "c"):
        letters.keep(name, None, "no", raw=RAW)
    assert [letter.id for letter in letters.list()] == ["a", "b", "c"]


def test_a_dropped_letter_is_gone_with_its_bytes(store: Journal, letters: DeadLetters) -> None:
    letters.keep("m1", None, "no", raw=RAW)
    letters.drop("m1")
    letters.drop("m1")
    assert list(store.list()) == []
    with pytest.raises(ObjectNotFound, match="shoal dead list"):
        letters.get("m1")


def test_a_letter_that_died_again_meanwhile_is_not_dropped(letters: DeadLetters) -> None:
    letters.keep("m1", None, "first", raw=RAW)
    _, etag = letters.get_with_etag("m1")
    letters.keep("m1", None, "second", raw=RAW)
    with pytest.raises(PreconditionFailed):
        letters.drop("m1", if_match=etag)
    assert letters.raw("m1") == RAW


def test_raw_bytes_that_were_altered_are_not_given_out(store: Journal, letters: DeadLetters) -> None:
    letters.keep("m1", None, "no", raw=RAW)
    store.put(Layout("default").dead_raw("m1"), b"other")
    with pytest.raises(PreconditionFailed, match="not the ones"):
        letters.raw("m1")


def test_a_letter_whose_message_could_be_read_has_no_raw_bytes(letters: DeadLetters) -> None:
    letters.keep("m1", {}, "no")
    with pytest.raises(ObjectNotFound, match="could be read"):
        letters.raw("m1")


@pytest.mark.parametrize("message_id", ["", "../x", "a/b"])
def test_an_id_that_would_lead_elsewhere_is_refused(letters: DeadLetters, message_id: str) -> None:
    with pytest.raises(InvalidReference):
        letters.keep(message_id, {}, "no")


@pytest.mark.parametrize(
    "message",
    [{"a": "\ud800", "\udfff": 1}, {"n": float("nan")}, {"s": {1, 2}}, {"": ""}, {"deep": [[[[]]]]}],
)
def test_whatever_a_message_holds_is_kept_and_listed(letters: DeadLetters, message: dict[str, Any]) -> None:
    letters.keep("m1", message, "bad \ud800", history=["\udc00"])
    (letter,) = letters.list()
    assert letter.message is not None
    assert list(letter.message) == list(message)
    assert letter.error == "bad ?"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"null", b"[" * 5000])
def test_a_letter_that_cannot_be_read_is_listed_and_said_so(
    store: Journal, letters: DeadLetters, data: bytes
) -> None:
    store.put(Layout("default").dead_letter("m1"), data)
    letters.keep("m2", {}, "no")
    broken, good = letters.list()
    assert "cannot be read" in broken.error
    assert (broken.id, good.id) == ("m1", "m2")
