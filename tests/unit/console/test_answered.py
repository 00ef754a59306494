from datetime import UTC, datetime

import pytest

from console import answered
from console.answered import Answered
from model_store.object_store import ObjectInfo


def uploads(*keys: str) -> list[ObjectInfo]:
    return [ObjectInfo(key, 1, "", datetime.now(UTC)) for key in keys]


def left(known: Answered, *keys: str) -> list[str]:
    return [info.key for info in known.without("uploads", uploads(*keys))]


@pytest.mark.parametrize("merged_at", [1, 3, 1 << 20])
def test_exactly_what_is_known_is_taken_out_in_order(monkeypatch: pytest.MonkeyPatch, merged_at: int) -> None:
    monkeypatch.setattr(answered, "MERGED_AT", merged_at)
    known = Answered(("uploads", f"{n * 7 % 20}.png") for n in range(50))
    assert len(known) == 20
    assert left(known, "20.png", "3.png", "x", "0.png", "a/3.png") == ["20.png", "x", "a/3.png"]


def test_nothing_is_known_of_an_empty_ledger() -> None:
    assert left(Answered([]), "b", "a") == ["b", "a"]


def test_the_same_key_in_another_bucket_is_another_upload() -> None:
    assert left(Answered([("elsewhere", "a")]), "a") == ["a"]
    assert left(Answered([("uploads", "a")])) == []


def test_the_set_takes_eight_bytes_an_upload() -> None:
    known = Answered(("uploads", str(n)) for n in range(10_000))
    assert known._known.nbytes == 80_000
