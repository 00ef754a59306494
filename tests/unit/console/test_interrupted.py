import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CTRL_C = "raise KeyboardInterrupt\n"  # a signal is ignored in the background of a shell


@pytest.mark.parametrize("loading", ["structlog", "celery"])  # before it is known which command, and after
def test_ctrl_c_while_libraries_load_ends_it_without_a_word(tmp_path: Path, loading: str) -> None:
    (tmp_path / f"{loading}.py").write_text(CTRL_C)
    done = subprocess.run(
        [sys.executable, "-m", "console.cli", "status"],
        cwd=tmp_path,  # where `-m` looks first
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
