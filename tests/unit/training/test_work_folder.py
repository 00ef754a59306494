import subprocess
import sys
from pathlib import Path

import pytest

from training import work_folder as work_folder_module
from training.work_folder import work_folder

ROOT = Path(__file__).parents[3]
HOLDS_ONE = """
import sys, time
from pathlib import Path
from training.work_folder import work_folder
with work_folder(Path(sys.argv[1])) as folder:
    (folder / "candidate").mkdir()
    (folder / "candidate" / "corpus.npy").write_bytes(b"pixels")
    print(folder, flush=True)
    time.sleep(600)
"""
KILLED_AS_SOON_AS_IT_IS_MADE = """
import os, signal, sys, tempfile
from pathlib import Path
from training.work_folder import work_folder
make = tempfile.mkdtemp
def made_and_killed(**where):
    make(**where)
    os.kill(os.getpid(), signal.SIGKILL)
tempfile.mkdtemp = made_and_killed
with work_folder(Path(sys.argv[1])):
    pass
"""
OF_ANOTHER_HOST = "shoal-work-00000000-0000-4000-8000-000000000000-abc"


def test_the_folder_of_a_killed_process_goes_with_the_next_and_that_of_a_living_one_stays(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLDS_ONE, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            theirs = Path(process.stdout.readline().strip())
            with work_folder(tmp_path) as ours:
                assert {theirs, ours} == set(tmp_path.iterdir())
        finally:
            process.kill()
    assert (theirs / "candidate" / "corpus.npy").is_file()

    with work_folder(tmp_path) as ours:
        assert list(tmp_path.iterdir()) == [ours]


def test_that_of_a_process_killed_as_soon_as_it_was_made_goes_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_AS_SOON_AS_IT_IS_MADE, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode < 0
    assert len(list(tmp_path.iterdir())) == 1

    with work_folder(tmp_path) as ours:
        assert list(tmp_path.iterdir()) == [ours]


def test_that_of_another_host_on_the_same_disk_stays_though_nobody_here_holds_it(tmp_path: Path) -> None:
    (tmp_path / OF_ANOTHER_HOST).mkdir()
    with work_folder(tmp_path) as ours:
        assert {path.name for path in tmp_path.iterdir()} == {OF_ANOTHER_HOST, ours.name}


def test_where_the_kernel_does_not_name_its_runs_nothing_is_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folder_module, "BOOT_ID", tmp_path / "none")
    with work_folder(tmp_path) as theirs:
        left = theirs.with_name(f"{theirs.name}-left")
        left.mkdir()
        with work_folder(tmp_path) as ours:
            assert {theirs, left, ours} == set(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["os.open", "fcntl.flock"])
def test_one_that_another_start_removes_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    module, _, name = step.partition(".")
    really = getattr(getattr(work_folder_module, module), name)

    def when_the_other_was_there(*arguments: object) -> object:
        monkeypatch.undo()
        for folder in tmp_path.iterdir():
            folder.rmdir()
        return really(*arguments)

    monkeypatch.setattr(f"training.work_folder.{step}", when_the_other_was_there)
    with work_folder(tmp_path) as ours:
        assert list(tmp_path.iterdir()) == [ours]


def test_it_is_gone_with_its_block_and_what_is_called_otherwise_stays(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with work_folder(tmp_path) as folder:
        (folder / "corpus.npy").write_bytes(b"pixels")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
