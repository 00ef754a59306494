"""What a fault test counted: the rows of the table in docs/reliability.md."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LONG: Final = os.environ.get("SHOAL_LONG") == "1"  # the long form of fault tests, not CI's


@dataclass
class FaultReport:
    """The count of one fault test. `say` appends it as a JSON line to the file that SHOAL_FAULT_REPORT names.

    Args:
        fault: what was done, in words: the row's name in the table.
        submitted: pictures whose submission was acknowledged.
        results: pictures that have the one right result.
        wrong: pictures whose result is not the right one.
        lost: pictures without any outcome.
        duplicates: pictures done more than once, without effect, else they are `wrong`; None: not counted.
        dead_letters: messages or pictures under `dead/`.
        faults: how often the fault struck, by kind.
        recovery_s: seconds from the end of the fault until work went on.
    """

    fault: str
    submitted: int = 0
    results: int = 0
    wrong: int = 0
    lost: int = 0
    duplicates: int | None = None
    dead_letters: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    recovery_s: float | None = None

    def count(self, submitted: Iterable[str], answered: Mapping[str, bool]) -> None:
        """Count from the ids submitted, and for each id answered whether the answer is the right one."""
        ids = set(submitted)
        self.submitted = len(ids)
        self.results = sum(right for name, right in answered.items() if name in ids)
        self.wrong = sum(not right for name, right in answered.items() if name in ids)
        self.lost = len(ids - answered.keys())

    def say(self) -> None:
        """Append the report to the file, if one is named."""
        path = os.environ.get("SHOAL_FAULT_REPORT")
        if path:
            line = json.dumps({**vars(self), "at": round(time.time())}) + "\n"
            with Path(path).open("a") as file:
                file.write(line)
