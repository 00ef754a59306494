"""The report at the end of a run: beside its record, after its end, and never in its way."""

from pathlib import Path

import pytest

from model_store.layout import Layout
from model_store.object_store import MemoryStore
from tests.unit.training.one_run import SLOT, one_run, record
from tests.unit.training.tiny_runs import FEW
from tests.watched_stores import Mortal

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_that_has_ended_leaves_its_report_beside_its_record(tmp_path: Path) -> None:
    store = Mortal()
    state_when_reported = []
    store.before = lambda key: (
        state_when_reported.append(record(store).state) if key.endswith(".html") else None
    )

    one_run(store, tmp_path, FEW).run(SLOT)

    assert state_when_reported == ["promoted"]
    names = {info.key.rpartition("/")[2] for info in store.list(Layout("default").run_file(SLOT, ""))}
    assert names == {
        *("report.html", "map-clusters.png", "silhouettes.png", "distances.png", "loss.png"),
        *("reconstructions.png", "sheets.png"),
    }
    page = store.get(Layout("default").run_file(SLOT, "report.html")).data.decode()
    assert "became champion: passed every gate" in page
    assert SLOT in page
    assert "2026" in page.partition("first classified")[2][:60]


@pytest.mark.parametrize("broken", ["making", "storing"])
def test_a_report_that_fails_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    store = MemoryStore()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(broken)

    where = "make_report" if broken == "making" else "Reports.save"
    monkeypatch.setattr(f"training.run_report.{where}", fail)

    ended = one_run(store, tmp_path, FEW).run(SLOT)

    assert ended is not None
    assert ended == record(store)
    assert ended.state == "promoted"
