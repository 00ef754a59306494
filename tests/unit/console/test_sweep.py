from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from console import sweep as sweeping
from console.answered import Answered
from console.sweep import Sweep, SweepRecord, image_id_of, messages
from model_store import listing
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from model_store.tombstones import Tombstones
from producer.contracts import MAX_MESSAGE_BYTES, ClassifyImages, ImageRef
from producer.errors import BrokerUnavailable, QueueFull
from producer.s3_events import image_id_for

KEYS = [f"{n}.png" for n in range(10)]


class Swept:
    """An uploads bucket of ten, a lane, and the sweep's record."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self.store, self.uploads = MemoryStore(), MemoryStore()
        self.uploads.put_many(dict.fromkeys(KEYS, b"x"))
        self.answered = Answered(("uploads", key) for key in known)
        self.sent: list[ClassifyImages] = []
        self.saved: list[SweepRecord] = [SweepRecord(bucket="uploads")]
        self.errors: list[Exception] = []

    def send(self, message: ClassifyImages) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(message)

    def run(self, send: Callable[[ClassifyImages], None] | None = None, **options: object) -> SweepRecord:
        parts = {"store": self.store, "uploads": self.uploads, "answered": self.answered, "send": send}
        sweep = Sweep(collection="default", **{**parts, **options})  # type: ignore[arg-type]
        return sweep.run(self.saved[-1], self.saved.append)

    @property
    def keys(self) -> list[str]:
        return [ref.key for message in self.sent for ref in message.images]


def counts(record: SweepRecord) -> tuple[int, ...]:
    return record.seen, record.older, record.answered, record.submitted, record.unnameable


def test_what_ledger_or_results_know_is_not_submitted() -> None:
    swept = Swept(known=("1.png", "4.png"))
    swept.store.put(Layout("default").result(image_id_for("uploads", "7.png")), b"{}")
    record = swept.run(swept.send)
    assert swept.keys == [key for key in KEYS if key not in ("1.png", "4.png", "7.png")]
    assert counts(record) == (10, 0, 3, 7, 0)
    assert record.done


def test_swept_uploads_are_kept_out_of_retraining_unless_told() -> None:
    swept = Swept()
    swept.run(swept.send)
    swept.saved = [SweepRecord(bucket="uploads")]
    swept.run(swept.send, allow_training=True)
    assert [{ref.allow_training for ref in m.images} for m in swept.sent] == [{False}, {True}]
    assert {message.lane for message in swept.sent} == {"bulk"}


def test_a_dry_run_counts_and_sends_nothing() -> None:
    swept = Swept(known=("1.png",))
    assert counts(swept.run(None)) == (10, 0, 1, 9, 0)


def test_a_full_lane_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "FULL_PAUSE_S", 0.0)
    swept, said = Swept(), list[str]()
    swept.errors = [QueueFull("full"), QueueFull("still")]
    swept.run(swept.send, on_wait=said.append)
    assert swept.keys == KEYS
    assert said == ["full", "still"]


def test_a_broken_off_sweep_goes_on_after_the_last_page_that_was_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = listing.pages
    monkeypatch.setattr(sweeping, "pages", lambda *a, **k: small(*a, **k, size=3))
    swept = Swept()

    def dies_at_the_third(message: ClassifyImages) -> None:
        if len(swept.sent) == 2:
            raise BrokerUnavailable("away")
        swept.send(message)

    with pytest.raises(BrokerUnavailable):
        swept.run(dies_at_the_third)
    assert swept.saved[-1].resume_after == "5.png"
    record = swept.run(swept.send)
    assert swept.keys == KEYS
    assert counts(record) == (10, 0, 0, 10, 0)


def test_only_uploads_modified_since_are_looked_at() -> None:
    swept = Swept()
    swept.uploads._modified_at["3.png"] = datetime.now(UTC) - timedelta(days=2)
    swept.saved = [SweepRecord(bucket="uploads", since=datetime.now(UTC) - timedelta(days=1))]
    assert counts(swept.run(swept.send)) == (10, 1, 0, 9, 0)
    assert "3.png" not in swept.keys


def test_keys_that_give_no_image_id_are_counted_and_markers_of_folders_are_no_uploads() -> None:
    swept = Swept()
    swept.uploads.put("folder/", b"")
    swept.uploads.put("folder/a b.png", b"x")
    record = swept.run(swept.send, id_from="stem")
    assert counts(record) == (11, 0, 0, 10, 1)
    assert record.first_unnameable == "folder/a b.png"


@pytest.mark.parametrize(
    ("id_from", "image_id"),
    [
        ("stem", "c.d"),
        ("name", "c.d.jpg"),
        ("key", "a_b_c.d.jpg"),
        ("hash", image_id_for("u", "a/b/c.d.jpg")),
    ],
)
def test_an_upload_is_named_as_its_platform_does(id_from: sweeping.IdFrom, image_id: str) -> None:
    assert image_id_of("u", "a/b/c.d.jpg", id_from) == image_id


@pytest.mark.parametrize("length", [10, 300, 1000])
def test_messages_are_as_large_as_the_contract_allows_and_hold_all_in_order(length: int) -> None:
    refs = [ImageRef(image_id=f"i{n}", bucket="uploads", key=f"{n:0{length}}") for n in range(600)]
    found = list(messages(refs, "default", "bulk"))
    assert [ref for message in found for ref in message.images] == refs
    assert all(len(message.model_dump_json()) < MAX_MESSAGE_BYTES for message in found)
    assert len(found) == {10: 3, 300: 4, 1000: 11}[length]


def test_an_erased_picture_whose_upload_remains_is_left_alone() -> None:
    swept = Swept()
    Tombstones(swept.store, "default").set([image_id_for("uploads", "3.png")], "r")
    swept.run(swept.send)
    assert swept.keys == [key for key in KEYS if key != "3.png"]
