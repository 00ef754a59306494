"""Where reports lie, and that what they show can be erased."""

from model_store.erasure import Erasure
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from model_store.tombstones import Tombstones
from tests.watched_stores import Watched
from training.report.pictures import SHOWS
from training.report.report import PAGE, Report
from training.reports import Reports
from training.run_record import RunRecord

LAYOUT = Layout("default")
REPORT = Report(
    {
        PAGE: b'<img alt="img_1"><img alt="img_2">',
        "sheets.png": f"\x89PNG {SHOWS}\0 img_1 img_2 CRC".encode(),
        "loss.png": b"\x89PNG nobody",
    },
    frozenset({"img_1", "img_2"}),
)


def names(store: MemoryStore, slot: str = "r1") -> set[str]:
    prefix = LAYOUT.run_file(slot, "")
    return {info.key.removeprefix(prefix) for info in store.list(prefix)}


def test_a_report_is_found_by_the_version_of_its_run_and_by_its_own() -> None:
    store = MemoryStore()
    record = RunRecord(collection="default", slot="r1", version="v-r1-a1")
    store.put(LAYOUT.run("r1"), record.model_dump_json().encode())
    reports = Reports(store, "default")
    reports.save("r1", REPORT, kept=5)
    reports.save("v-by-hand", REPORT, kept=5)

    assert reports.read("v-r1-a1") == dict(REPORT.files) == reports.read("v-by-hand")
    assert reports.read("v-other") == {}


def test_an_erasure_drops_the_reports_that_show_the_picture_and_no_others() -> None:
    store = MemoryStore()
    other = Report({PAGE: b'<img alt="img_10">'}, frozenset({"img_10"}))
    reports = Reports(store, "default")
    reports.save("r1", REPORT, kept=5)
    reports.save("r2", other, kept=5)

    record = Erasure(store, "default", {}).run(["img_1"])

    assert names(store) == {"loss.png"}
    assert names(store, "r2") == {PAGE}
    assert record.removed == {"runs": 2}
    assert list(Erasure(store, "default", {}).verify(["img_1"])) == []


def test_what_was_erased_while_a_report_was_made_is_not_shown_by_it() -> None:
    store = MemoryStore()
    Tombstones(store, "default").set(["img_2"], "ticket")

    Reports(store, "default").save("r1", REPORT, kept=5)

    assert names(store) == {"loss.png"}


def test_an_erasure_at_any_moment_of_the_storing_leaves_no_picture() -> None:
    counting = Watched()
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    counting.on_call = count
    Reports(counting, "default").save("r1", REPORT, kept=5)
    assert calls > 4
    for moment in range(calls):
        store = Watched()
        left = moment

        def step(store: Watched = store) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                store.on_call = None
                Erasure(store, "default", {}).run(["img_1"])

        store.on_call = step
        Reports(store, "default").save("r1", REPORT, kept=5)
        store.on_call = None

        assert list(Erasure(store, "default", {}).verify(["img_1"])) == [], moment


def test_only_the_newest_reports_stay_and_records_of_runs_are_not_touched() -> None:
    store = MemoryStore()
    reports = Reports(store, "default")
    store.put(LAYOUT.run("r1"), b"{}")
    store.put(LAYOUT.run_file("r1", "corpus.parquet"), b"x")
    for slot in ("r1", "r2", "r3"):
        reports.save(slot, REPORT, kept=2)

    assert names(store) == {"corpus.parquet"}
    assert names(store, "r2") == names(store, "r3") == set(REPORT.files)
    assert store.get(LAYOUT.run("r1")).data == b"{}"
