import io

import pytest
from rich.console import Console

from console import command_line, output
from console.output import Bars
from producer.errors import ShoalError


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(output, "err", Console(file=file, force_terminal=request.param, width=80))
    return file


def last_drawn(shown: io.StringIO) -> str:
    """What a terminal shows in the end, or a file: what stands after the last line that was taken back."""
    return shown.getvalue().rpartition("\x1b[2K")[2]


def broken_off(*stages: str) -> None:
    with Bars() as bars:
        for stage in stages:
            bars.stage(stage, 2)
            bars.advance(1)
        raise RuntimeError


def test_a_stage_that_an_error_ends_leaves_no_bar_before_the_message(shown: io.StringIO) -> None:
    with pytest.raises(RuntimeError):
        broken_off("read")
    assert "read" not in last_drawn(shown)
    assert "\n" not in last_drawn(shown)


def test_the_stages_before_it_stay(shown: io.StringIO) -> None:
    with pytest.raises(RuntimeError):
        broken_off("read", "fit")
    assert "read" in last_drawn(shown)
    assert "fit" not in last_drawn(shown)


def test_what_is_printed_beside_bars_reaches_a_script(
    shown: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bars() as bars:
        bars.stage("look")
        output.print_json({"n": 1})
    assert capsys.readouterr().out == '{"n": 1}\n'


def test_brackets_and_colons_in_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    name = "pictures/[old] :cat: [/b].png"
    output.table("results", ("file",), [(name,)])
    with Bars() as bars:
        bars.note(name)
    assert name in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command_line._end(ShoalError(name), 1)
    told = capsys.readouterr().err
    assert f"error: {name}" in told
