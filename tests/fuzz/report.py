"""The figures of a fuzz run as Markdown."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from PIL import __version__ as pillow

from tests.fuzz.campaign import ROOT, Campaign

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
MB = 1_000_000


def tables(as_it_is: Campaign, mutated: Campaign) -> str:
    """Set both campaigns side by side."""
    both = (as_it_is, mutated)
    rows = [("files", *(f"{sum(run.codes.values()):,}" for run in both))]
    rows += [
        (code, *(f"{run.codes[code]:,}" for run in both))
        for code in sorted(as_it_is.codes | mutated.codes, key=lambda code: (code != "picture", code))
    ]
    rows += [
        ("crashed, hung, raised or over memory", *(str(len(run.findings)) for run in both)),
        ("slowest, CPU s", *(f"{run.slowest[0]:.2f} ({run.slowest[1]})" for run in both)),
        ("most memory of one file, MB", *(f"{run.largest[0] / MB:.0f} ({run.largest[1]})" for run in both)),
    ]
    lines = [f"| {' | '.join(row)} |" for row in [("", "as they are", "mutations"), ("---",) * 3, *rows]]
    limits = as_it_is.options
    heading = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Pillow {pillow}, commit {_commit()}; all seven formats on; "
        f"limits {limits.cpu_s:g} s of CPU time a file, {as_it_is.max_peak_bytes / MB:.0f} MB over the "
        f"process's own {as_it_is.baseline_bytes / MB:.0f} MB."
    )
    return "\n".join([heading, "", *lines])


def put_into(document: Path, text: str) -> None:
    """Replace what stands between the two marks.

    Raises:
        ValueError: the document has no such marks.
    """
    before, rest = document.read_text().split(BEGIN)
    after = rest.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"
