import pytest

from console.near_collection import near_collection, say_if_mistyped
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from producer.errors import AccessDenied


@pytest.fixture
def store(store: MemoryStore) -> MemoryStore:
    store.put(Layout("default").result("img_1"), b"{}")
    store.put(Layout("invoices").model("v1", "manifest.json"), b"{}")
    return store


@pytest.mark.parametrize(
    ("collection", "meant"),
    [("defualt", "default"), ("invoice", "invoices"), ("default", None), ("cats", None)],
)
def test_a_collection_with_nothing_in_it_may_be_a_slip_for_one_that_is_spelt_alike(
    store: MemoryStore, collection: str, meant: str | None
) -> None:
    store.put(f"{collection}/jobs/j/job.json", b"{}")  # of a submission under the wrong name, a moment ago
    assert near_collection(store, collection) == meant


def test_it_is_asked_on_standard_error(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    say_if_mistyped(store, "default")
    say_if_mistyped(store, "defualt")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "collection defualt has no model and no pictures yet: did you mean default?\n"


def test_a_store_that_may_not_be_listed_costs_only_the_question(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(prefix: str) -> None:
        raise AccessDenied(prefix)

    monkeypatch.setattr(store, "folders", refused)
    say_if_mistyped(store, "defualt")
    assert capsys.readouterr().err == ""
