import io
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from model_store.layout import Layout
from model_store.ledger import SCHEMA, Ledger, LedgerRow
from model_store.object_store import MemoryStore
from producer.contracts import Cluster, Failure, ImageRef, Input, ModelStamp, Result
from producer.ulid import new_ulid, ulid_time

HOUR_S = 3600
START_S = 1_790_000_000
MESSAGE = new_ulid(START_S)
WHEN = datetime(2026, 9, 21, 14, 13, 20, 123_000, tzinfo=UTC)
PROJECTION = np.array([0.25, -1.5, 3.0], np.float32)


def ref(image_id: str, **fields: object) -> ImageRef:
    return ImageRef.model_validate({"image_id": image_id, "bucket": "uploads", "key": "a/ü.jpg"} | fields)


def assigned(image_id: str, message_id: str = MESSAGE) -> Result:
    return Result(
        image_id=image_id,
        collection="default",
        status="assigned",
        cluster=Cluster(id="c_9f2k", index=1),
        distance=0.5,
        model=ModelStamp(version="v1", sha256="0", generation=7),
        input=Input(etag="e1", sha256="ab", width=4, height=3, format="JPEG"),
        message_id=message_id,
        classified_at=WHEN,
    )


def rejected(image_id: str) -> Result:
    return Result(
        image_id=image_id,
        collection="default",
        status="rejected",
        error=Failure(code="decode.corrupt", detail="x"),
        message_id=MESSAGE,
        classified_at=WHEN,
    )


@pytest.fixture
def ledger(store: MemoryStore) -> Ledger:
    return Ledger(store, "default")


def append(ledger: Ledger, message_id: str, *image_ids: str) -> None:
    results = [assigned(image_id, message_id) for image_id in image_ids]
    ledger.append(message_id, [ref(image_id) for image_id in image_ids], results, [PROJECTION] * len(results))


def test_rows_are_read_back_as_appended(ledger: Ledger) -> None:
    refs = [ref("img_1", version_id="3", allow_training=False), ref("img_2")]

    ledger.append(MESSAGE, refs, [assigned("img_1"), rejected("img_2")], [PROJECTION, None])

    assert list(ledger.rows()) == [
        LedgerRow(refs[0], "ab", "assigned", "c_9f2k", WHEN),
        LedgerRow(refs[1], None, "rejected", None, WHEN),
    ]


def test_a_part_holds_all_that_is_known_of_a_picture(store: MemoryStore, ledger: Ledger) -> None:
    ledger.append(MESSAGE, [ref("img_1", etag="of-the-message")], [assigned("img_1")], [PROJECTION])

    table = pq.read_table(io.BytesIO(store.get(Layout("default").ledger_part(MESSAGE)).data))

    assert table.schema.equals(SCHEMA)
    [row] = table.to_pylist()
    assert row["projection"] == PROJECTION.tolist()
    assert (row["etag"], row["generation"], row["distance"]) == ("e1", 7, 0.5)  # as read, not as announced


def test_training_reads_the_picture_of_now_not_the_etag_of_then(ledger: Ledger) -> None:
    ledger.append(MESSAGE, [ref("img_1", etag="e0")], [assigned("img_1")], [PROJECTION])

    [row] = ledger.rows()

    assert row.ref.etag is None


def test_a_message_appended_twice_is_one_part(store: MemoryStore, ledger: Ledger) -> None:
    append(ledger, MESSAGE, "img_1", "img_2")
    append(ledger, MESSAGE, "img_1", "img_2")

    assert [info.key for info in store.list()] == [Layout("default").ledger_part(MESSAGE)]
    assert [row.ref.image_id for row in ledger.rows()] == ["img_1", "img_2"]


def test_rows_come_oldest_message_first_over_many_parts(ledger: Ledger) -> None:
    order = [(n * 37) % 150 for n in range(150)]  # more than are read at once
    for n in order:
        append(ledger, new_ulid(START_S + n * HOUR_S), f"img_{n:03}")

    assert [row.ref.image_id for row in ledger.rows()] == [f"img_{n:03}" for n in range(150)]


def test_rows_since_a_day_leave_out_the_days_before(ledger: Ledger) -> None:
    messages = [new_ulid(START_S + n * 24 * HOUR_S) for n in range(3)]
    for n, message_id in enumerate(messages):
        append(ledger, message_id, f"img_{n}")

    rows = ledger.rows(since=ulid_time(messages[1]).date())

    assert [row.ref.image_id for row in rows] == ["img_1", "img_2"]


def test_a_part_of_an_earlier_version_lacks_a_column_and_is_read(store: MemoryStore, ledger: Ledger) -> None:
    append(ledger, MESSAGE, "img_1")
    key, buffer = Layout("default").ledger_part(MESSAGE), io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(store.get(key).data)).drop_columns(["residual"]), buffer)
    store.put(key, buffer.getvalue())

    [table] = ledger.tables(["image_id", "residual"])

    assert table.to_pylist() == [{"image_id": "img_1", "residual": None}]


def test_an_empty_ledger_has_no_rows(ledger: Ledger) -> None:
    assert list(ledger.rows()) == []


def test_collections_have_ledgers_of_their_own(store: MemoryStore, ledger: Ledger) -> None:
    append(ledger, MESSAGE, "img_1")

    assert list(Ledger(store, "default2").rows()) == []


def test_parts_of_unequal_length_are_refused(store: MemoryStore, ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="shorter"):
        ledger.append(MESSAGE, [ref("img_1")], [assigned("img_1")], [])

    assert list(store.list()) == []
