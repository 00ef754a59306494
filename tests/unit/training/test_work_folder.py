import subprocess
import sys
from pathlib import Path

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


def test_it_is_gone_with_its_block_and_what_is_called_otherwise_stays(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with work_folder(tmp_path) as folder:
        (folder / "corpus.npy").write_bytes(b"pixels")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
