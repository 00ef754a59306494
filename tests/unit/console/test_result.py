import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import typer

from console.commands import result as result_module
from console.commands.result import result
from console.store import Connection
from model_store.layout import Layout
from model_store.object_store import MemoryStore, StoredObject
from model_store.process_settings import ProcessSettings
from model_store.results import Results
from model_store.s3 import S3Store
from producer.contracts import ModelStamp, Result
from producer.errors import AccessDenied
from producer.ulid import new_ulid


class Refusing(MemoryStore):
    """Tells nobody what was erased."""

    def get(self, key: str) -> StoredObject:
        if key == Layout("default").tombstones_changed():
            raise AccessDenied("not for you")
        return super().get(key)


@pytest.fixture(autouse=True)
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Connect to a store with one result, of `there`, where asking why another has none is refused."""
    store = Refusing()
    stamp = ModelStamp(version="v1", sha256="0", generation=1)
    there = Result(
        image_id="there", collection="default", status="assigned", message_id=new_ulid(), model=stamp
    )
    Results(store, "default").save([there])

    @contextlib.contextmanager
    def connection() -> Iterator[Connection]:
        yield Connection(ProcessSettings(), cast("S3Store", store))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(result_module, "connection", connection)


def test_what_is_found_is_shown_also_where_it_cannot_be_told_why_others_have_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended:
        result(["there", "missing"], collection="default", job=None, as_json=True)

    printed = capsys.readouterr()
    assert ended.value.exit_code == 1
    assert json.loads(printed.out)["image_id"] == "there"
    assert printed.err == "no result of missing: why is not known: not for you\n"


def test_where_nothing_is_missing_nobody_is_asked_why(capsys: pytest.CaptureFixture[str]) -> None:
    result(["there"], collection="default", job=None, as_json=True)

    assert json.loads(capsys.readouterr().out)["image_id"] == "there"
