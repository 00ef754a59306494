"""`make faults`: the long form of every fault test, then its counts into docs/reliability.md."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- counts: made by `make faults` -->", "<!-- end of counts -->"
TESTS = (
    "tests/system/faults",
    "tests/integration/test_store_faults.py",
    "tests/system/test_sweep_uploads.py",
)
COLUMNS = (
    "fault",
    "struck",
    "submitted",
    "right",
    "wrong",
    "lost",
    "done twice",
    "dead letters",
    "recovery, s",
)


def row(report: Mapping[str, Any]) -> tuple[object, ...]:
    struck = ", ".join(f"{kind} {count:,}" for kind, count in report["faults"].items() if count)
    counts = (
        report[name] for name in ("submitted", "results", "wrong", "lost", "duplicates", "dead_letters")
    )
    recovery = "" if report["recovery_s"] is None else f"{report['recovery_s']:.1f}"
    return (report["fault"], struck, *("" if count is None else f"{count:,}" for count in counts), recovery)


def table(reports: Iterable[Mapping[str, Any]]) -> str:
    """Draw one row per fault, the sum of them last; the latest report of a fault counts."""
    latest = {report["fault"]: report for report in reports}
    names = ("submitted", "results", "wrong", "lost", "duplicates", "dead_letters")
    total = {name: sum(report[name] or 0 for report in latest.values()) for name in names}
    rows = [row(report) for report in latest.values()]
    rows.append(row({"fault": "**all**", "faults": {}, "recovery_s": None, **total}))
    lines = [COLUMNS, ("---", "---", *["--:"] * (len(COLUMNS) - 2)), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write(reports: Iterable[Mapping[str, Any]], page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    text = page.read_text()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git is there
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    note = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores, {platform.machine()}"
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{note}\n\n{table(reports)}\n\n{END}{tail}")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="shoal-faults-") as folder:
        file = Path(os.environ.get("SHOAL_FAULT_REPORT", f"{folder}/reports.jsonl"))
        environment = {**os.environ, "SHOAL_LONG": "1", "SHOAL_FAULT_REPORT": str(file)}
        command = [sys.executable, "-m", "pytest", *TESTS, "-v", *sys.argv[1:]]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        write(json.loads(line) for line in file.read_text().splitlines())
    return status


if __name__ == "__main__":
    sys.exit(main())
