"""`make mutants`: takes each remedy out of a copy of the tree, and demands that a test fails.

`python -m tests.mutants NAME...` does those whose name contains one of the words.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.remedies import REMEDIES

ROOT = Path(__file__).parents[2]
TREES = ("producer", "model_store", "worker", "training", "console", "tests", "docs", "deploy")
TIMEOUT_S = 600
BASELINE_S = 3600
FAILED = 1  # pytest's exit status


def ran(tests: Iterable[str], copy: Path, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """Run tests in the copy of the tree, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def survives(mutant: Mutant, copy: Path) -> str | None:
    """Tell why a mutant was not noticed; None if a test failed."""
    file = copy / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return f"its text stands {text.count(mutant.old)} times in {mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new))
    try:
        status = ran(mutant.tests, copy, TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        status = FAILED  # a hang is noticed
    finally:
        file.write_text(text)
    return None if status == FAILED else f"pytest ended with {status}, and {FAILED} was wanted"


def main(words: list[str]) -> int:
    chosen = [m for m in REMEDIES if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="shoal-mutants-") as folder:
        copy = Path(folder)
        for tree in TREES:
            shutil.copytree(ROOT / tree, copy / tree, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        sound = ran(sorted({test for mutant in chosen for test in mutant.tests}), copy, BASELINE_S)
        if sound.returncode != 0:
            sys.stdout.write(f"a test fails with every remedy in its place:\n{sound.stdout[-3000:]}\n")
            return 1
        for mutant in chosen:
            reason = survives(mutant, copy)
            survivors += reason is not None
            sys.stdout.write(
                f"{'SURVIVES' if reason else 'noticed ':9} {mutant.name}{f': {reason}' if reason else ''}\n"
            )
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - survivors} of {len(chosen)} noticed\n")
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
