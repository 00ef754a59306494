from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from model_store.images import Fetched, ImageSource, Unfetchable
from model_store.ledger import LedgerRow
from model_store.object_store import MemoryStore
from producer.contracts import ImageRef
from producer.errors import StoreUnavailable
from training.snapshot import FETCHED_AT_ONCE, read_originals, sample

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(
    image_id: str, *, at: int = 0, status: str = "assigned", key: str = "k", allow_training: bool = True
) -> LedgerRow:
    ref = ImageRef(image_id=image_id, bucket="uploads", key=key, allow_training=allow_training)
    return LedgerRow(ref, None, status, None, START + timedelta(seconds=at))


def ids(refs: Sequence[ImageRef]) -> list[str]:
    return [ref.image_id for ref in refs]


def test_the_same_ledger_gives_the_same_sample_in_whatever_order_it_is_read() -> None:
    rows = [row(f"img_{n}") for n in range(100)]

    assert ids(sample(rows, 30)) == ids(sample(rows[::-1], 30))


def test_no_more_than_the_limit_are_taken_and_all_if_there_are_fewer() -> None:
    rows = [row(f"img_{n}") for n in range(10)]

    assert len(set(ids(sample(rows, 4)))) == 4
    assert sorted(ids(sample(rows, 1000))) == sorted(f"img_{n}" for n in range(10))


def test_a_longer_ledger_keeps_most_of_the_sample() -> None:
    rows = [row(f"img_{n}") for n in range(1100)]

    before, after = set(ids(sample(rows[:1000], 500))), set(ids(sample(rows, 500)))

    assert len(before & after) > 420


def test_the_sample_does_not_favour_early_or_late_pictures() -> None:
    rows = [row(f"img_{n}", at=n) for n in range(2000)]

    early = sum(int(image_id.removeprefix("img_")) < 1000 for image_id in ids(sample(rows, 500)))

    assert 200 < early < 300


def test_the_latest_row_of_a_picture_counts() -> None:
    rows = [row("img", at=2, key="new"), row("img", at=1, key="old")]

    assert [ref.key for ref in sample(rows, 9)] == ["new"]
    assert [ref.key for ref in sample(rows[::-1], 9)] == ["new"]


def test_a_picture_that_may_no_longer_be_used_is_left_out() -> None:
    rows = [row("img", at=1), row("img", at=2, allow_training=False), row("other", allow_training=False)]

    assert sample(rows, 9) == []


def test_a_picture_that_was_rejected_last_is_left_out_and_one_that_recovered_is_not() -> None:
    rows = [
        row("spoilt", at=1),
        row("spoilt", at=2, status="rejected"),
        row("healed", at=1, status="failed"),
        row("healed", at=2),
    ]

    assert ids(sample(rows, 9)) == ["healed"]


def test_pictures_of_no_known_cluster_are_learnt_from_too() -> None:
    rows = [row(status, status=status) for status in ("assigned", "unknown", "rejected", "failed")]

    assert sorted(ids(sample(rows, 9))) == ["assigned", "unknown"]


def test_originals_come_in_order_and_erased_ones_are_passed_over() -> None:
    uploads, n = MemoryStore(), FETCHED_AT_ONCE + 10
    uploads.put_many({f"k{i}": b"%d" % i for i in range(n)})
    uploads.delete("k3")
    refs = [row(f"img_{i}", key=f"k{i}").ref for i in range(n)]

    originals = list(read_originals(ImageSource({"uploads": uploads}, 100), refs))

    assert originals == [(f"img_{i}", b"%d" % i) for i in range(n) if i != 3]


def test_a_store_that_fails_ends_the_reading() -> None:
    class Failing(ImageSource):
        def fetch(self, refs: Sequence[ImageRef]) -> Iterator[tuple[int, Fetched]]:
            yield 1, StoreUnavailable("down")
            yield 0, Unfetchable("fetch.not_found", f"one of {len(refs)}")

    with pytest.raises(StoreUnavailable):
        list(read_originals(Failing({}, 1), [row("a").ref, row("b").ref]))
