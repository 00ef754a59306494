"""What `make` says while it sets up, with a Python that only tells how it was called."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
esac
echo "ran $*"
"""


def test_each_step_is_announced_with_the_time_it_takes(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    done = subprocess.run(
        ["make", f"PYTHON={python}", ".venv/.ready"],  # noqa: S607 - wherever make is
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    lines = done.stdout.splitlines()
    steps = [at for at, line in enumerate(lines) if line.startswith("ran -m")]
    assert len(steps) == 3
    assert all("seconds" in lines[at - 1] or "minutes" in lines[at - 1] for at in steps), done.stdout
