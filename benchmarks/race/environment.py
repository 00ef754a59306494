"""Environments for what is compared with Shoal and cannot, or need not, be installed beside it.

Each is a venv that finds its own packages first, then those that Shoal runs with: torch lies there once. Kept
in the user's cache folder, made again when what it needs changes.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "shoal-benchmarks"
ROOT = Path(__file__).parents[2]


def environment(name: str, needs: tuple[str, ...]) -> Path:
    """Give the folder of its programs; where it is missing makes it, which takes a minute and the network."""
    digest = hashlib.sha256(repr((needs, sys.path)).encode()).hexdigest()[:8]
    folder = CACHE / f"{name}-{digest}"
    programs, ready = folder / "bin", folder / "ready"
    if not ready.exists():
        print(f"makes an environment for {name} ({', '.join(needs)}) in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *needs], check=True)
        own = subprocess.run(
            [programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        ours = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
        Path(own.stdout.strip(), "shoal.pth").write_text("\n".join(ours))
        ready.touch()
    return programs


def ours() -> Path:
    """Give the folder of the programs that Shoal itself runs with."""
    return Path(sysconfig.get_path("scripts"))
