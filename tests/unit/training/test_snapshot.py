from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from model_store.images import Fetched, ImageSource, Unfetchable
from model_store.ledger import SCHEMA, Ledger
from model_store.object_store import MemoryStore
from producer.contracts import ImageRef
from producer.errors import StoreUnavailable
from training.snapshot import (
    COLUMNS,
    FETCHED_AT_ONCE,
    SnapshotSettings,
    choose,
    read_originals,
    references,
    sample,
    usable,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(
    image_id: str,
    *,
    at: float = 0,
    status: str = "assigned",
    key: str = "k",
    allow_training: bool = True,
    sha256: str | None = None,
    message_id: str | None = None,
) -> dict[str, object]:
    """Make a row of the ledger, classified `at` days after the start."""
    return {
        "message_id": message_id,
        "image_id": image_id,
        "bucket": "uploads",
        "key": key,
        "version_id": None,
        "allow_training": allow_training,
        "status": status,
        "sha256": sha256,
        "classified_at": START + timedelta(days=at),
    }


def chosen(
    rows: Sequence[dict[str, object]], n: int = 999, erased: Sequence[str] = (), **settings: object
) -> list[ImageRef]:
    tables = [pa.Table.from_pylist(rows[i::3], schema=SCHEMA).select(COLUMNS) for i in range(3)]
    table = sample(usable(tables, erased), n, SnapshotSettings.model_validate(settings))
    return references(table)


def ids(refs: Sequence[ImageRef]) -> list[str]:
    return [ref.image_id for ref in refs]


def ref(image_id: str, key: str) -> ImageRef:
    return ImageRef(image_id=image_id, bucket="uploads", key=key)


def test_the_same_ledger_gives_the_same_sample_in_whatever_order_it_is_read() -> None:
    rows = [row(f"img_{n}", at=n) for n in range(100)]

    assert ids(chosen(rows, 30)) == ids(chosen(rows[::-1], 30))


def test_no_more_than_the_limit_are_taken_and_all_if_there_are_fewer() -> None:
    rows = [row(f"img_{n}") for n in range(10)]

    assert len(set(ids(chosen(rows, 4)))) == 4
    assert sorted(ids(chosen(rows, 1000))) == sorted(f"img_{n}" for n in range(10))


def test_a_longer_ledger_keeps_most_of_the_sample() -> None:
    rows = [row(f"img_{n}") for n in range(1100)]

    before, after = set(ids(chosen(rows[:1000], 500))), set(ids(chosen(rows, 500)))

    assert len(before & after) > 420


def test_half_of_the_sample_is_recent_however_many_old_pictures_there_are() -> None:
    old = [row(f"old_{n}", at=n / 100) for n in range(5000)]
    recent = [row(f"new_{n}", at=100 + n / 100) for n in range(300)]

    names = ids(chosen(old + recent, 400))

    assert sum(name.startswith("new") for name in names) == 200


def test_places_that_one_side_cannot_fill_go_to_the_other() -> None:
    rows = [row(f"old_{n}") for n in range(500)] + [row(f"new_{n}", at=100) for n in range(50)]

    names = ids(chosen(rows, 400))

    assert sum(name.startswith("new") for name in names) == 50
    assert len(names) == 400


def test_a_picture_classified_anew_is_as_old_as_before() -> None:
    rows = [row(f"old_{n}") for n in range(500)] + [row(f"new_{n}", at=100) for n in range(500)]
    backfill = [row(f"old_{n}", at=101) for n in range(500)]

    assert ids(chosen(rows + backfill, 100)) == ids(chosen(rows, 100))


def test_the_latest_row_of_a_picture_counts() -> None:
    rows = [row("img", at=2, key="new"), row("img", at=1, key="old")]

    assert [found.key for found in chosen(rows)] == ["new"]
    assert [found.key for found in chosen(rows[::-1])] == ["new"]


def test_a_picture_that_may_no_longer_be_used_or_was_erased_is_left_out() -> None:
    rows = [row("img", at=1), row("img", at=2, allow_training=False), row("other", allow_training=False)]

    assert chosen([*rows, row("erased")], erased=["erased", "another"]) == []


def test_of_two_rows_of_one_moment_the_one_that_forbids_training_counts() -> None:
    rows = [row("img", allow_training=False), row("img")]

    assert chosen(rows) == chosen(rows[::-1]) == []


def test_once_forbidden_a_picture_stays_out_whatever_is_done_or_submitted_after_it() -> None:
    forbidden = row("img", at=2, allow_training=False, message_id="02")

    for late in (row("img", at=3, message_id="01"), row("img", at=4, message_id="03")):
        assert chosen([row("img", at=1, message_id="00"), forbidden, late]) == []


def test_an_older_submission_that_is_done_late_does_not_bring_its_key_back() -> None:
    rows = [row("img", at=2, key="new", message_id="02"), row("img", at=3, key="old", message_id="01")]

    assert [found.key for found in chosen(rows)] == ["new"]


def test_rows_that_differ_in_anything_are_never_tied() -> None:
    rows = [row("img", key="a", sha256="1"), row("img", key="b"), row("img", key="a", sha256="2")]

    assert chosen(rows) == chosen(rows[::-1]) == chosen([rows[1], rows[0], rows[2]])


def test_a_picture_that_was_rejected_last_is_left_out_and_one_that_recovered_is_not() -> None:
    rows = [
        row("spoilt", at=1),
        row("spoilt", at=2, status="rejected"),
        row("healed", at=1, status="failed"),
        row("healed", at=2),
    ]

    assert ids(chosen(rows)) == ["healed"]


def test_pictures_of_no_known_cluster_are_learnt_from_too() -> None:
    rows = [row(status, status=status) for status in ("assigned", "unknown", "rejected", "failed")]

    assert sorted(ids(chosen(rows))) == ["assigned", "unknown"]


def test_the_same_bytes_are_taken_once_and_unknown_bytes_are_not_the_same() -> None:
    rows = [row(f"img_{n}", sha256="one") for n in range(80)]
    rows += [row(f"other_{n}", sha256=f"s{n}") for n in range(20)] + [row("a"), row("b")]

    names = ids(chosen(rows))

    assert sum(name.startswith("img") for name in names) == 1
    assert len(names) == 23


@pytest.mark.parametrize("n", [100, 1000, 5000])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_flood_of_one_uploader_does_not_own_the_sample(n: int, share: float) -> None:
    flood = [row(f"flood_{i}", key=f"mallory/{i}.png", at=300) for i in range(4000)]
    honest = [row(f"ok_{i}", key=f"user{i % 30}/{i}.png", at=i % 200) for i in range(900)]

    refs = chosen(flood + honest, n, max_uploader_share=share)

    n_flood = sum(found.key.startswith("mallory") for found in refs)
    assert 0 < n_flood <= share * len(refs)
    assert len(refs) == min(n, 900 + n_flood)
    assert n_flood >= 0.9 * share * len(refs)  # the limit, not less


def test_among_few_uploaders_the_limit_is_not_held_to() -> None:
    rows = [row(f"a_{i}", key=f"2025/{i}") for i in range(90)] + [row("b", key="2026/1")]

    assert len(chosen(rows, max_uploader_share=0.5)) == 91


def test_keys_may_name_the_uploader_deeper_or_not_at_all() -> None:
    flood = [row(f"flood_{i}", key=f"in/mallory/{i}.png") for i in range(400)]
    honest = [row(f"ok_{i}", key=f"in/user{i % 9}/{i}.png") for i in range(90)]

    assert len(chosen(flood + honest, uploader_segments=2)) == 180
    assert len(chosen(flood + honest, uploader_segments=1)) == 490
    assert len(chosen(flood + honest, uploader_segments=0)) == 490


def test_an_empty_ledger_gives_an_empty_sample() -> None:
    assert references(choose(Ledger(MemoryStore(), "default"), (), 10, SnapshotSettings())) == []


def test_originals_come_in_order_and_erased_ones_are_passed_over() -> None:
    uploads, n = MemoryStore(), FETCHED_AT_ONCE + 10
    uploads.put_many({f"k{i}": b"%d" % i for i in range(n)})
    uploads.delete("k3")
    refs = [ref(f"img_{i}", f"k{i}") for i in range(n)]

    originals = list(read_originals(ImageSource({"uploads": uploads}, 100), refs))

    assert originals == [(f"img_{i}", b"%d" % i) for i in range(n) if i != 3]


def test_a_store_that_fails_ends_the_reading() -> None:
    class Failing(ImageSource):
        def fetch(self, refs: Sequence[ImageRef], **_: object) -> Generator[tuple[int, Fetched]]:
            yield 1, StoreUnavailable("down")
            yield 0, Unfetchable("fetch.not_found", f"one of {len(refs)}")

    with pytest.raises(StoreUnavailable):
        list(read_originals(Failing({}, 1), [ref("a", "k"), ref("b", "k")]))
