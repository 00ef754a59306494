"""Runs cases through a decoding process, one at a time, and notes what must not happen."""

import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from tests.fuzz.mutation import Case
from worker.decode_wire import DecoderOptions, receive_head, send

ROOT = Path(__file__).parents[2]
STALL_S: Final = 300.0  # without any CPU time used up; a busy machine is slow, not stalled


@dataclass(frozen=True, slots=True)
class Told:
    """What one file came to."""

    code: str
    cpu_s: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What must not happen: the process crashed, hung, took too much memory, or decode raised."""

    what: str
    case: Case

    def __str__(self) -> str:
        """Say what to do to see it again."""
        again = "as it is" if self.case.seed is None else f"--seed {self.case.seed} --mutations 1"
        return f"{self.what}: {self.case.name}, {again}"


@dataclass
class Campaign:
    """The figures of a run. `baseline_bytes` is what the process takes before the first file."""

    options: DecoderOptions
    max_peak_bytes: int
    child: str = "tests.fuzz.child"
    codes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")
    baseline_bytes: int = 0

    def run(self, cases: Iterable[Case], found: Callable[[Finding], None] = lambda _: None) -> None:
        """Decode every case; each finding is also told at once."""
        child = self._start()
        try:
            for case in cases:
                told = self._ask(child, case)
                if child.poll() is not None:
                    _end(child)
                    child = self._start()
                if fault := self._judge(case, told):
                    self.findings.append(Finding(fault, case))
                    found(self.findings[-1])
        finally:
            _end(child)

    def _judge(self, case: Case, told: Told) -> str | None:
        self.codes[told.code] += 1
        name = case.name if case.seed is None else f"{case.name}, seed {case.seed}"
        self.slowest = max(self.slowest, (told.cpu_s, name))
        self.largest = max(self.largest, (told.peak_bytes - self.baseline_bytes, name))
        if told.code.startswith("decode.") or told.code == "picture":
            over = told.peak_bytes - self.baseline_bytes > self.max_peak_bytes
            return f"took {told.peak_bytes - self.baseline_bytes:,} bytes" if over else None
        return told.code

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", self.child, self.options.model_dump_json()]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.baseline_bytes = self._ask(child, Case("baseline", b"")).peak_bytes
        return child

    def _ask(self, child: "subprocess.Popen[bytes]", case: Case) -> Told:
        requests, answers = _pipes(child)
        try:
            send(requests, [len(case.data)], [case.data])
            if not select.select([answers], [], [], STALL_S)[0]:
                child.kill()
                child.wait()
                return Told("stalled")
            code, cpu_s, peak_bytes = receive_head(answers)
        except (OSError, EOFError):
            status = child.wait()
            hung = status == -signal.SIGPROF
            return Told(f"over {self.options.cpu_s:g} s" if hung else f"crash, status {status}")
        return Told(code, cpu_s, peak_bytes)


def _pipes(child: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout  # type: ignore[return-value]


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    for pipe in _pipes(child):
        try:
            pipe.close()
        except BrokenPipeError:
            continue
