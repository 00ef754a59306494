"""Processes that start warm have the environment and the end that they would have had."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.system.forked_process import ForkedProcess

HERE = "tests.system.test_forked_process"


def main() -> None:
    """What the forked process runs."""
    print(sorted(os.environ), sys.argv[1:], Path.cwd(), flush=True)  # noqa: T201 - this is its output
    if sys.argv[1] == "wait":
        signal.pause()
    sys.exit(int(sys.argv[1]))


def test_it_has_its_own_environment_folder_output_and_status(tmp_path: Path) -> None:
    os.environ["OF_THE_TESTS"] = "1"
    try:
        process = ForkedProcess(HERE, ["7"], output=tmp_path / "log", env={"ONLY": "this"}, cwd=tmp_path)
        assert process.wait() == 7
    finally:
        del os.environ["OF_THE_TESTS"]
    assert (tmp_path / "log").read_text() == f"['ONLY'] ['7'] {tmp_path}\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_is_told_as_a_shell_tells_it(tmp_path: Path, number: signal.Signals) -> None:
    process = ForkedProcess(HERE, ["wait"], output=tmp_path / "log", env={}, cwd=tmp_path)
    while not (tmp_path / "log").read_text():
        assert process.poll() is None
    os.kill(process.pid, number)
    assert process.wait() == 128 + number
