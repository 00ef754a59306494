import io

import pytest
import typer

from console.near_collection import near_collection, refuse_if_mistyped, refuse_if_unknown, say_if_mistyped
from model_store.layout import Layout
from model_store.object_store import MemoryStore
from producer.errors import AccessDenied, ConfigurationError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def store(store: MemoryStore) -> MemoryStore:
    store.put(Layout("default").result("img_1"), b"{}")
    store.put(Layout("invoices").model("v1", "manifest.json"), b"{}")
    return store


@pytest.mark.parametrize(
    ("collection", "meant"),
    [("defualt", "default"), ("invoice", "invoices"), ("default", None), ("cats", None), ("default-2", None)],
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
    refuse_if_mistyped(store, "defualt", new=False)
    assert capsys.readouterr().err == ""


def test_a_script_that_would_fill_a_mistyped_collection_is_refused_at_once_unless_it_says_new(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stdin, stderr in (
        (io.StringIO("y\n"), Terminal()),
        (None, Terminal()),  # it is closed
        (Terminal("y\n"), io.StringIO()),  # nobody would see the question
    ):
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stderr", stderr)
        with pytest.raises(
            ConfigurationError, match=r"did you mean default\? Nothing was done; .* say --new"
        ):
            refuse_if_mistyped(store, "defualt", new=False)
    refuse_if_mistyped(store, "defualt", new=True)
    refuse_if_mistyped(store, "cats", new=False)
    store.put(Layout("defualt").job("j"), b"{}")  # somebody has said so
    refuse_if_mistyped(store, "defualt", new=False)


def test_a_person_is_asked_whether_it_is_meant(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\nn\n"))
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    refuse_if_mistyped(store, "defualt", new=False)
    with pytest.raises(typer.Abort):
        refuse_if_mistyped(store, "defualt", new=False)
    assert capsys.readouterr().out.strip() == ""
    assert "did you mean default?\nIs defualt to be a new one? [y/N]:" in shown.getvalue()


def test_a_collection_of_which_nothing_is_stored_is_told_from_an_empty_list(store: MemoryStore) -> None:
    store.put(".shoal/probe/x", b"")
    refuse_if_unknown(store, "default")
    with pytest.raises(ConfigurationError, match=r"no collection cats in the store: only default, invoices$"):
        refuse_if_unknown(store, "cats")
    with pytest.raises(
        ConfigurationError, match=r"no collection invioces in the store: did you mean invoices\?"
    ):
        refuse_if_unknown(store, "invioces")
    refuse_if_unknown(MemoryStore(), "default")
