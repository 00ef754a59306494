import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from model_store.job_part import Part, decode, part_of, pictures_of, without
from model_store.job_row import SCHEMA, result_of
from producer.contracts import Result
from producer.errors import StoreUnavailable
from producer.ulid import new_ulid
from tests.unit.model_store.made_jobs import PREDICTED, REFUSED, generation, ref, result

MESSAGE = new_ulid()


def part(*image_ids: str, pictures: int = 2, erased: tuple[str, ...] = (), **fields: object) -> Part:
    results = [result(image_id, MESSAGE, **fields) for image_id in image_ids]
    return part_of(MESSAGE, pictures, [ref(i) for i in image_ids], results, erased)


def statuses(of: Part) -> list[str]:
    return [row["status"] for row in of.rows.values()]


@pytest.mark.parametrize(
    "fields",
    [
        PREDICTED,
        {**PREDICTED, "cluster": None, "alternatives": (), "status": "unknown"},
        {**dict.fromkeys(PREDICTED), "alternatives": (), "attempt": 1, **REFUSED},
        {**dict.fromkeys(PREDICTED), "alternatives": (), "attempt": 1, "status": "failed"},
    ],
    ids=["assigned", "unknown", "rejected", "failed"],
)
def test_a_row_has_everything_that_the_result_has(fields: dict[str, object]) -> None:
    before = Result.model_validate({"image_id": "a", "collection": "cats", "message_id": MESSAGE, **fields})
    written = decode(part_of(MESSAGE, 1, [ref("a")], [before], []).encode(), "part")
    assert [result_of(row, "cats") for row in written.rows.values()] == [before]


def test_a_part_is_plain_parquet_with_one_row_per_picture() -> None:
    table = pq.read_table(io.BytesIO(part("a", "b", "b").encode()))
    assert table.schema.names == SCHEMA.names
    assert table["image_id"].to_pylist() == ["a", "b"]
    assert table["key"].to_pylist() == ["a/a.png", "a/b.png"]


def test_the_halves_of_a_message_fill_its_part() -> None:
    half = part("a")
    assert not half.whole
    both = half.with_rows(part("b"))
    assert both.whole
    assert len(both.rows) == 2


def test_the_same_answer_again_changes_nothing() -> None:
    first = part("a", "b")
    assert first.with_rows(part("a", "b")) is first
    assert first.with_rows(part("a", "b", status="failed", cluster=None)) is first


@pytest.mark.parametrize(
    ("new", "replaces"),
    [
        ({"model": generation(8)}, True),
        ({"model": generation(6)}, False),
        ({"status": "rejected", "cluster": None, "model": generation(8)}, True),
        ({"status": "failed", "cluster": None, "model": None}, False),
    ],
)
def test_a_row_gives_way_to_a_newer_model_only(new: dict[str, Any], *, replaces: bool) -> None:
    before = part("a", "b")
    assert (before.with_rows(part("a", **new)) is not before) is replaces


def test_what_failed_is_bettered_by_a_replay() -> None:
    failed = part("a", "b", status="failed", cluster=None)
    assert statuses(failed.with_rows(part("a"))) == ["assigned", "failed"]


def test_an_erased_picture_leaves_a_row_that_names_nothing_and_never_comes_back() -> None:
    rest, places, originals = without(part("a", "b"), ["a", "never"])
    assert (places, originals) == (1, {("uploads", "a/a.png")})
    assert statuses(rest) == ["erased", "assigned"]
    assert rest.whole
    assert {name for name, value in rest.rows[pictures_of(["a"])[0]].items() if value is not None} == {
        "picture",
        "status",
        "message_id",
    }
    assert (
        rest.with_rows(part("a", "b", model=generation(9))).rows[pictures_of(["a"])[0]]["status"] == "erased"
    )
    assert result_of(rest.rows[pictures_of(["a"])[0]], "cats") is None


def test_a_picture_found_erased_takes_the_row_of_an_earlier_delivery() -> None:
    assert statuses(part("a", "b").with_rows(part("b", erased=("a",)))) == ["erased", "assigned"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100])
def test_a_damaged_part_says_which_it_is(data: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="c/jobs/j/part-1"):
        decode(data, "c/jobs/j/part-1")
