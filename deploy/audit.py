"""Ask for known holes in what is installed here: `make check` runs it.

pip-audit calls an environment clean of which it could check nothing (the advisory service is out of reach, or
a mirror has no advisories): so this counts. Exit status 1 for a known hole; 0 for none, and where nothing
could be checked, which is then said. With AUDIT=required in the environment that is a failure too.
"""

import json
import os
import subprocess
import sys
from typing import Any

COMMAND = [
    sys.executable,
    "-m",
    "pip_audit",
    "--progress-spinner",
    "off",
    "--format",
    "json",
    "--skip-editable",
]
PATIENCE_S = 300


def main() -> int:
    """Audit, tell, and give the exit status."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=PATIENCE_S, check=False)  # noqa: S603
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return not_made(f"no answer within {PATIENCE_S} s")
    except (ValueError, KeyError):
        return not_made(" ".join(done.stderr.split()[-25:]) or "pip-audit said nothing")
    checked = [package for package in packages if "skip_reason" not in package]
    holes = [(package, hole) for package in checked for hole in package["vulns"]]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{package['name']} {package['version']}: {hole['id']}, mended in {fixed}\n")
    if not checked:
        return not_made(f"the advisory service knows none of the {len(packages)} packages")
    sys.stdout.write(f"audit: {len(holes)} known holes, {len(checked)} of {len(packages)} packages checked\n")
    return 1 if holes else 0


def not_made(why: str) -> int:
    """Say that there was no audit; a failure only where one is required."""
    sys.stdout.write(f"audit: NOT MADE, nothing is known about holes: {why}\n")
    return 1 if os.environ.get("AUDIT") == "required" else 0


if __name__ == "__main__":
    sys.exit(main())
