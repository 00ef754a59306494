"""`clusters`, `models diff`, `report`, `promote --force` and `history`: on real servers, in this process."""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from console.cli import main
from console.stack import Stack
from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.layout import MANIFEST, Layout
from model_store.ledger import Ledger
from model_store.manifest import Gate
from model_store.registry import Registry
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.contracts import ImageRef, Result
from producer.ulid import new_ulid
from tests.unit.training.drawn_kinds import draw, pictures, settings, trained
from training.train import Trained

NUMBERS = count(1)
SHOWN = pictures((0, 1, 2), n_each=20)


@pytest.fixture(scope="module")
def models() -> tuple[Trained, Trained]:
    """A champion of three clusters, and a challenger of two that failed a gate."""
    champion = trained(SHOWN, settings(n_clusters=3))
    challenger = trained(SHOWN, settings(seed=1, n_clusters=2), champion)
    challenger = challenger.with_gates([Gate(name="moved", passed=False, reason="too many move")])
    manifest = challenger.manifest.model_copy(update={"parent": champion.manifest.version})
    return champion, Trained(manifest, *(getattr(challenger, f) for f in list(Trained.__slots__)[1:]))


class Shell:
    """Runs `shoal` in this process, on one collection."""

    def __init__(
        self,
        store: S3Store,
        collection: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.store = store
        self.collection, self._capsys, self._monkeypatch = collection, capsys, monkeypatch

    def run(self, *arguments: str, status: int = 0) -> str:
        self._monkeypatch.setattr(sys, "argv", ["shoal", *arguments, "--collection", self.collection])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        said = self._capsys.readouterr()
        assert (caught.value.code or 0) == status, said.err + said.out
        return said.out if status == 0 else said.err.replace("\n", " ")

    def json(self, *arguments: str) -> list[dict[str, object]]:
        answer = json.loads(self.run(*arguments, "--json"))
        return answer if isinstance(answer, list) else [answer]


@pytest.fixture
def shell(
    stack: Stack,
    models: tuple[Trained, Trained],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Shell]:
    collection = f"clusters-{next(NUMBERS)}"
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    own = StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file)
    store, uploads = S3Store(stack.bucket, own), S3Store(stack.uploads_bucket, own)
    registry = Registry(store, collection)
    champion, challenger = (registry.publish(m.manifest, m.files) for m in models)
    registry.promote(champion.version)
    registry.set_challenger(challenger, reason="too many move")
    fill(Ledger(store, collection), uploads, collection)
    yield Shell(store, collection, capsys, monkeypatch)
    store.close()
    uploads.close()


def fill(ledger: Ledger, uploads: S3Store, collection: str) -> None:
    """Upload the pictures, and write the ledger's part as a worker would."""
    refs, message_id = [], new_ulid()
    for kind, name in zip(SHOWN.kinds, SHOWN.names, strict=True):
        file = io.BytesIO()
        Image.fromarray(draw(int(kind), name)).save(file, "PNG")
        uploads.put(f"{collection}/{name}.png", file.getvalue())
        refs.append(ImageRef(image_id=name, bucket=uploads.bucket, key=f"{collection}/{name}.png"))
    results = [
        Result(image_id=ref.image_id, collection=collection, status="assigned", message_id=message_id)
        for ref in refs
    ]
    ledger.append(message_id, refs, results, [None] * len(refs))


def merged(models: Sequence[Trained]) -> tuple[str, tuple[str, ...]]:
    """Give the challenger's cluster that was two, and which those were, larger first."""
    file = ClusterFile.from_bytes(models[1].files[CLUSTERS])
    (entry,) = (entry for entry in file.clusters if entry.lineage == "merged")
    return entry.id, entry.parents


def test_names_and_merges_are_given_and_taken_back(shell: Shell) -> None:
    first, second, _ = (str(row["id"]) for row in shell.json("clusters", "list"))

    shell.run("clusters", "name", first, "invoices")
    merge = shell.json("clusters", "merge", second, first)
    assert merge == [{"id": second, "shown_as": first, "name": "invoices"}]
    rows = {row["id"]: row for row in shell.json("clusters", "list")}
    assert (rows[second]["shown_as"], rows[second]["name"]) == (first, "invoices")
    listed = shell.run("clusters", "list")
    assert "invoices" in listed
    assert "fitted on (no held-out)" in listed  # a report counts these too

    assert shell.json("clusters", "split", second)[0]["shown_as"] == second
    assert shell.json("clusters", "name", first, "--clear")[0]["name"] is None


def test_a_cluster_that_there_never_was_cannot_be_named(shell: Shell) -> None:
    assert "has a cluster c_nosuch" in shell.run("clusters", "name", "c_nosuch", "x", status=1)
    assert "give a name, or --clear" in shell.run("clusters", "name", "c_nosuch", status=1)


def test_lineage_tells_what_became_of_a_cluster(shell: Shell, models: tuple[Trained, Trained]) -> None:
    cluster_id, parents = merged(models)

    (event,) = (row for row in shell.json("clusters", "lineage", parents[1]) if row["kind"] == "merged")

    assert event["version"] == models[1].manifest.version
    assert event["after"] == [cluster_id]
    assert "which make" in shell.run("clusters", "lineage")


def test_diff_shows_what_would_change_in_words_json_and_pictures(
    shell: Shell, models: tuple[Trained, Trained]
) -> None:
    page = Path("diff.html")

    (found,) = shell.json("models", "diff", "--html", str(page))

    champion, challenger = (model.manifest.version for model in models)
    assert (found["before"], found["after"], found["pictures"]) == (champion, challenger, 60)
    moved = found["moved"]
    assert isinstance(moved, int)
    assert moved >= 20
    assert "too many move" in page.read_text()
    assert page.read_text().count("<img ") >= 20
    assert "pictures that move" in shell.run("models", "diff", champion, challenger)
    assert "has no previous: name a version" in shell.run("models", "diff", "previous", status=1)
    (alone,) = shell.json("models", "diff", challenger)
    assert (alone["before"], alone["after"]) == (champion, challenger)


def test_a_collection_that_may_be_a_slip_for_another_is_asked_about(shell: Shell) -> None:
    assert "did you mean" not in shell.run("result", "nosuch", status=1)
    shell.collection += "s"
    assert f"did you mean {shell.collection[:-1]}?" in shell.run("result", "nosuch", status=1)
    assert "did you mean" in shell.run("clusters", "list", status=1)


def test_what_is_logged_does_not_stand_in_what_a_script_reads(shell: Shell) -> None:
    shell.store.put(Layout(shell.collection).run("cut"), b'{"slot": "cu')
    assert shell.json("models", "runs") == []


def test_what_failed_a_gate_is_promoted_by_force_only_with_a_reason_that_is_kept(
    shell: Shell, models: tuple[Trained, Trained]
) -> None:
    version = models[1].manifest.version

    assert "did not pass its gates (too many move)" in shell.run("models", "promote", version, status=1)
    assert f"{version} did not pass" in shell.run("models", "promote", "challenger", status=1)
    assert shell.json("models", "show", "challenger")[0]["version"] == version
    assert "--force needs a --reason" in shell.run("models", "promote", version, "--force", status=1)
    shell.run("models", "promote", version, "--force", "--reason", "the merge is wanted")
    shell.run("models", "rollback")

    kept = [row["reason"] for row in shell.json("models", "history")]
    assert kept == ["", "forced: the merge is wanted", "rollback by hand"]


def test_a_manifest_exchanged_after_its_alias_was_set_is_neither_shown_nor_promoted(
    shell: Shell, models: tuple[Trained, Trained]
) -> None:
    key = Layout(shell.collection).model(models[1].manifest.version, MANIFEST)
    shell.store.put(key, shell.store.get(key).data.replace(b'"passed": false', b'"passed": true'))

    for command in ("show", "promote"):
        said = shell.run("models", command, "challenger", status=1)
        assert "is not the one that was promoted" in said
    assert len(shell.json("models", "history")) == 1


def test_a_merged_cluster_inherits_its_name_when_promoted_by_hand(
    shell: Shell, models: tuple[Trained, Trained]
) -> None:
    cluster_id, parents = merged(models)
    shell.run("clusters", "name", parents[0], "invoices")

    shell.run("models", "promote", models[1].manifest.version, "--force", "--reason", "wanted")

    names = {row["id"]: row["name"] for row in shell.json("clusters", "list")}
    assert names[cluster_id] == "invoices"


def test_a_report_is_drawn_once_kept_and_drawn_anew_without_a_picture_that_was_erased(
    shell: Shell, models: tuple[Trained, Trained], tmp_path: Path
) -> None:
    cluster = ClusterFile.from_bytes(models[0].files[CLUSTERS]).clusters[0].id
    shell.run("clusters", "name", cluster, "<b>invoices</b>")
    (first,) = shell.json("models", "report", "--out", "first")
    (second,) = shell.json("models", "report", models[0].manifest.version, "--out", "second")
    page = (tmp_path / "first" / "report.html").read_text()
    assert (first["made_anew"], second["made_anew"]) == (True, False)
    assert (tmp_path / "second" / "report.html").read_text() == page
    assert "&lt;b&gt;invoices&lt;/b&gt;" in page
    shown = next(name for name in SHOWN.names if f'alt="{name}"' in page)

    shell.run("erase", shown)

    (third,) = shell.json("models", "report", "--out", "third")
    assert third["made_anew"] is True
    anew = (tmp_path / "third" / "report.html").read_text()
    assert f'alt="{shown}"' not in anew
    assert "<h2>The map</h2>" in anew
