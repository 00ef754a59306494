from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from model_store.compaction import Compacted, compact, compact_finished_days
from model_store.erasure import Erasure
from model_store.ledger import Ledger
from model_store.object_store import MemoryStore
from model_store.tombstones import Tombstones
from producer.contracts import ImageRef, Result
from producer.errors import StoreUnavailable
from producer.ulid import new_ulid
from tests.racing import race
from tests.watched_stores import Watched

DAY = date(2026, 11, 20)
DAY_S = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
LATER = date(2026, 11, 24)


def message(hour: int, nth: int = 0) -> str:
    return new_ulid(DAY_S + hour * 3600 + nth)


def append(store: MemoryStore, message_id: str, *image_ids: str, status: str = "assigned") -> None:
    refs = [ImageRef(image_id=name, bucket="uploads", key=name) for name in image_ids]
    results = [
        Result.model_validate(
            {"image_id": name, "collection": "default", "status": status, "message_id": message_id}
        )
        for name in image_ids
    ]
    Ledger(store, "default").append(message_id, refs, results, [None] * len(refs))


def rows(store: MemoryStore) -> list[tuple[str, str]]:
    tables = Ledger(store, "default").tables(["image_id", "status"])
    return sorted((row["image_id"], row["status"]) for table in tables for row in table.to_pylist())


def names(store: MemoryStore) -> list[str]:
    return [info.key.rpartition("/")[2] for info in store.list("default/ledger/")]


def filled(n: int = 6, *, compacted: bool = True) -> tuple[Watched, list[str]]:
    """A day of n messages with two pictures each, the first half of which is compacted already."""
    store, messages = Watched(), [message(hour) for hour in range(n)]
    for i, message_id in enumerate(messages[: n // 2]):
        append(store, message_id, f"a{i}", f"b{i}")
    if compacted:
        compact(store, "default", before=LATER)
    for i, message_id in enumerate(messages[n // 2 :], n // 2):
        append(store, message_id, f"a{i}", f"b{i}")
    return store, messages


def test_a_day_of_small_parts_becomes_one_file_with_the_same_rows() -> None:
    store, _ = filled()
    before = rows(store)

    done = compact(store, "default", before=LATER)

    assert done == Compacted(days=1, parts=3, rows=12)
    assert names(store) == ["day-00000002.parquet"]
    assert rows(store) == before


def test_a_day_that_is_not_over_is_left_alone_and_a_compacted_one_is_not_written_again() -> None:
    store, _ = filled()
    files = names(store)

    assert compact(store, "default", before=DAY) == Compacted()
    assert names(store) == files
    compact(store, "default", before=LATER)
    assert compact(store, "default", before=LATER) == Compacted()
    assert names(store) == ["day-00000002.parquet"]


def test_cut_short_anywhere_no_row_is_lost_or_read_twice_and_the_next_compaction_cleans_up() -> None:
    reference, _ = filled()
    expected, n_cuts = rows(reference), 0
    for budget in range(40):
        store, _ = filled()
        left = iter(range(budget))

        def die(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise StoreUnavailable("the process is gone")

        store.on_call = die
        try:
            compact(store, "default", before=LATER)
        except StoreUnavailable:
            n_cuts += 1
        store.on_call = None
        assert rows(store) == expected, budget
        compact(store, "default", before=LATER)
        assert rows(store) == expected, budget
        assert len(names(store)) == 1, budget
    assert 8 < n_cuts < 40  # before each step, and after all


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("redelivered", [False, True])
def test_a_reader_sees_every_row_once_whenever_a_compaction_runs_beside_it(
    *, compacted: bool, redelivered: bool
) -> None:
    expected = rows(filled()[0])
    for moment in range(25):
        store, messages = filled(compacted=compacted)
        calls = iter(range(100))

        def compact_now(
            store: Watched = store, messages: list[str] = messages, n: Iterator[int] = calls, at: int = moment
        ) -> None:
            if next(n) == at:
                store.on_call = None
                compact(store, "default", before=LATER)
                if redelivered:  # one part is there as before, the others are not
                    append(store, messages[0], "a0", "b0")

        store.on_call = compact_now
        assert rows(store) == expected, moment


def test_a_part_written_again_while_its_day_is_compacted_keeps_the_newer_rows() -> None:
    for moment in range(25):
        store, messages = filled()
        calls = iter(range(100))

        def redeliver(
            store: Watched = store,
            message_id: str = messages[4],
            calls: Iterator[int] = calls,
            at: int = moment,
        ) -> None:
            if next(calls) == at:
                store.on_call = None
                append(store, message_id, "a4", "b4", status="unknown")

        store.on_call = redeliver
        compact(store, "default", before=LATER)
        store.on_call = None
        if ("a4", "unknown") not in rows(store):  # it came before, and was read as it was before
            assert moment > 12
            redeliver(store, messages[4], iter([moment]))
        found = rows(store)
        assert ("a4", "unknown") in found
        assert ("a4", "assigned") not in found
        assert len(found) == 12


def test_a_message_redelivered_after_its_part_was_compacted_counts_once_and_newer() -> None:
    store, messages = filled()
    compact(store, "default", before=LATER)

    append(store, messages[0], "a0", "b0", status="unknown")

    assert rows(store).count(("a0", "unknown")) == 1
    assert ("a0", "assigned") not in rows(store)
    compact(store, "default", before=LATER)
    assert ("a0", "unknown") in rows(store)
    assert len(rows(store)) == 12


def test_racing_compactions_and_writers_lose_nothing() -> None:
    store, _ = filled()
    expected = rows(store)

    def act(racer: int) -> None:
        if racer % 3:
            compact(store, "default", before=LATER)
        else:
            append(store, message(20, racer), f"late{racer}")

    assert race(act) == [None] * 12
    assert rows(store) == sorted([*expected, *((f"late{n}", "assigned") for n in range(0, 12, 3))])
    compact(store, "default", before=LATER)
    assert len(names(store)) == 1


@pytest.mark.parametrize("n_others", [1, 2])
def test_a_compaction_that_slept_through_others_undoes_nothing(n_others: int) -> None:
    for moment in range(25):
        store, _ = filled()
        calls = iter(range(100))

        def others_first(store: Watched = store, calls: Iterator[int] = calls, moment: int = moment) -> None:
            if next(calls) == moment:
                store.on_call = None
                for n in range(n_others):
                    append(store, message(21, n), f"late{n}")
                    compact(store, "default", before=LATER)

        store.on_call = others_first
        compact(store, "default", before=LATER)
        slept = store.on_call is None
        store.on_call = None

        assert len(rows(store)) == (12 + n_others if slept else 12), moment
        compact(store, "default", before=LATER)
        assert len(rows(store)) == (12 + n_others if slept else 12), moment


def test_erased_pictures_leave_parts_and_compacted_days() -> None:
    store, _ = filled()
    Tombstones(store, "default").set(("a0", "b5"), "a request")  # one is compacted, one is not

    done = compact_finished_days(store, "default", LATER)

    assert done.dropped == 2
    assert {"a0", "b5"}.isdisjoint(name for name, _ in rows(store))
    assert len(rows(store)) == 10


def test_a_picture_erased_after_its_day_was_compacted_leaves_it_and_other_days_are_read_once() -> None:
    store, _ = filled()
    compact_finished_days(store, "default", LATER)
    Tombstones(store, "default").set(["a0"], "a request")

    assert compact_finished_days(store, "default", LATER).dropped == 1
    assert ("a0", "assigned") not in rows(store)

    store.read.clear()
    assert compact_finished_days(store, "default", LATER) == Compacted()
    assert not [key for key in store.read if "day-" in key]


def test_a_picture_that_is_erased_while_a_day_is_compacted_is_out_of_it() -> None:
    store = MemoryStore()
    append(store, message(3), "a", "b")

    class Erased(MemoryStore):
        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            if "day-00000001" in key:  # the whole erasure, between reading the parts and writing the day
                Erasure(self, "default", {}).run(["a"])
            return super().put(key, data, create_only=create_only, if_match=if_match)

    racing = Erased()
    vars(racing).update(vars(store))
    compact_finished_days(racing, "default", LATER)
    assert [row.ref.image_id for row in Ledger(store, "default").rows()] == ["b"]
    assert list(Erasure(store, "default", {}).verify(["a"])) == []
