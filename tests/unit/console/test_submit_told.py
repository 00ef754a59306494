import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self, cast

import pytest

from console.commands import submit as submit_module
from console.commands.submit import submit
from console.store import Connection
from console.submission import SHOWN_ONE_BY_ONE, Submission
from model_store.object_store import MemoryStore
from model_store.process_settings import ProcessSettings
from model_store.s3 import S3Store
from producer.contracts import ImageRef, Result
from producer.ulid import new_ulid


class Uploads(MemoryStore):
    """The bucket of uploads."""

    bucket = "uploads"


class Taken:
    """A producer that takes whatever it is given."""

    def __init__(self, *_: object) -> None:
        self.refs: list[ImageRef] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, ref: ImageRef, **_: object) -> None:
        self.refs.append(ref)


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Give a folder with one picture in a subfolder, submitted to a store in memory."""
    store = Uploads()

    @contextlib.contextmanager
    def connection_to(_: str, *, new: bool) -> Iterator[Connection]:
        assert not new
        yield Connection(ProcessSettings(), cast("S3Store", store))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submit_module, "connection_to", connection_to)
    monkeypatch.setattr(submit_module, "S3Store", lambda *_: store)
    monkeypatch.setattr(submit_module, "Producer", Taken)
    Path("pictures", "cats").mkdir(parents=True)
    Path("pictures", "cats", "1.png").write_bytes(b"png")
    return "pictures"


def submission(n: int, collection: str = "default") -> Submission:
    refs = [ImageRef(image_id=f"img_{i}", bucket="uploads", key=f"k{i}") for i in range(n)]
    return Submission(collection, [(f"{ref.key}.png", ref) for ref in refs])


def test_after_a_few_pictures_one_command_shows_them_all() -> None:
    assert submission(2).how_to_look(shown=False) == "their results: `shoal result img_0 img_1`"
    assert "`shoal result img_0 img_1 --collection cats`" in submission(2, "cats").how_to_look(shown=False)


def test_after_many_it_is_said_how_to_see_them_all_unless_they_were_shown() -> None:
    many = submission(SHOWN_ONE_BY_ONE + 1)
    assert "all of them: the same command with --wait" in many.how_to_look(shown=False)
    assert many.how_to_look(shown=True) == "each by its id: `shoal result img_0`"


def test_a_result_is_shown_with_the_file_it_is_of(
    pictures: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(_: object, ids: list[str], **__: object) -> dict[str, Result]:
        return {
            name: Result(image_id=name, collection="default", status="failed", message_id=new_ulid())
            for name in ids
        }

    monkeypatch.setattr(submit_module, "wait_for_results", answered)
    submit([pictures], wait=True)

    assert "pictures/cats/1.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "say_if_no_model",
            "to collection default, which workers answer all the same; their results: `shoal ",
        ),
        ("wait_for_results", "to collection default (0 answered, 1 still waited for), which"),
        ("connection_to", "stopped before anything was submitted"),
    ],
)
def test_ctrl_c_says_what_was_submitted_and_how_to_ask_for_it(
    pictures: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    said: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(submit_module, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        submit([pictures], wait=True)

    told = capsys.readouterr().err
    assert said in told
    assert ("submitted 1 picture to collection default" in told) == (where != "connection_to")
