"""One contender in a race: real worker processes, stopped while others run, and what they got done.

A race: the pictures are queued while the workers are stopped, then these go on until all results are stored.
So what submitting costs does not count against the worker, and is told apart.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.race.field import Field
from console.guarded_process import GuardedProcess

LOOK_S = 0.05
SETTLED_S = 0.5  # after the last result: what comes now is double


class Done(NamedTuple):
    """Some pictures whose results are stored: when, how many, how many shared their pass of the device."""

    at: float
    pictures: int
    batch: int


class Lap(NamedTuple):
    """What one race came to."""

    rate: float  # pictures a second, from the start to the last stored result
    p50_s: float
    p99_s: float
    batch: float
    worker_cpu_ms: float  # per picture
    client_cpu_ms: float
    lost: int
    double: int


@dataclass(frozen=True)
class Entry:
    """Pictures to be queued: ids that no other race has, and the keys of uploads."""

    name: str
    images: list[tuple[str, str]]


class Racer:
    """Base of all contenders."""

    least = 256  # pictures in a race
    aim_s = 4.0  # that a race takes, about

    def __init__(self, name: str, device_rate: float | None) -> None:
        self.name = name
        self.device_rate = device_rate
        self._process: GuardedProcess | None = None
        self._tree: list[psutil.Process] = []
        self._seen = 0

    def enter(self, field: Field, database: int) -> None:
        """Start the workers."""
        self.field = field
        self.url = field.broker_url(database)
        self.folder = field.folder / self.name.replace(" ", "-")
        self.folder.mkdir()
        self.log = self.folder / "worker.log"
        with self.log.open("wb") as out:
            self._process = GuardedProcess(
                self.command(), output=out, env=self.environment(), cwd=self.folder, grace_s=10
            )

    def command(self) -> Sequence[str]:
        """Give the command that runs its workers."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Give its workers' environment."""
        raise NotImplementedError

    def submit(self, entry: Entry) -> float:
        """Queue pictures; gives the CPU seconds it took."""
        raise NotImplementedError

    def done_file(self) -> Path:
        """Give the file whose lines tell what is done."""
        raise NotImplementedError

    def done_line(self, line: str) -> Done | None:
        """Read one of them."""
        raise NotImplementedError

    def stored(self, entry: Entry) -> int:
        """Count the pictures of an entry that have a result in the store."""
        raise NotImplementedError

    def leave(self) -> None:
        """Stop the workers for good."""
        self.go_on()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def stop(self) -> None:
        """Suspend all its processes."""
        if self._process is None:
            raise RuntimeError("not entered")
        worker = psutil.Process(self._process.pid)
        self._tree = [worker, *worker.children(recursive=True)]
        for process in self._tree:
            process.suspend()

    def go_on(self) -> None:
        """Let them run again."""
        for process in self._tree:
            with contextlib.suppress(psutil.NoSuchProcess):  # some supervisors replace theirs
                process.resume()

    def race(self, entry: Entry, patience_s: float) -> Lap:
        """Do an entry from its queue to its results. The workers are stopped before and after."""
        self._finished()  # what came late of the race before
        client_s = self.submit(entry)
        cpu_s, n = self._cpu_s(), len(entry.images)
        started = time.time()
        self.go_on()
        done: list[Done] = []
        while sum(d.pictures for d in done) < n and time.time() < started + patience_s:
            time.sleep(LOOK_S)
            done += self._finished()
        cpu_s = self._cpu_s() - cpu_s
        time.sleep(SETTLED_S)
        done += self._finished()
        self.stop()
        if not done:
            raise RuntimeError(
                f"{self.name} did nothing in {patience_s:g} s, see {self.log}:\n{self._said()}"
            )
        waits = sorted(w for d in done for w in [d.at - started] * d.pictures)
        passes = sum(d.pictures / d.batch for d in done)
        return Lap(
            rate=min(n, len(waits)) / waits[min(n, len(waits)) - 1],
            p50_s=waits[len(waits) // 2],
            p99_s=waits[int(0.99 * (len(waits) - 1))],
            batch=len(waits) / passes,
            worker_cpu_ms=1000 * cpu_s / n,
            client_cpu_ms=1000 * client_s / n,
            lost=n - self.stored(entry),
            double=max(0, len(waits) - n),
        )

    def _cpu_s(self) -> float:
        used_s = 0.0
        for process in self._tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                used_s += sum(process.cpu_times()[:2])
        return used_s

    def _finished(self) -> list[Done]:
        file = self.done_file()
        if not file.exists():
            return []
        with file.open() as lines:
            lines.seek(self._seen)
            whole = lines.read().rpartition("\n")[0]
        self._seen += len(whole.encode()) + 1 if whole else 0
        return [done for done in map(self.done_line, whole.splitlines()) if done is not None]

    def _said(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


class ByHand(Racer):
    """What a user would build instead: a `module` of `benchmarks.contenders`, and what runs it."""

    def __init__(
        self, name: str, module: str, command: Sequence[str], programs: Path, device_rate: float | None
    ) -> None:
        super().__init__(name, device_rate)
        self._module = module
        self._command = command
        self._programs = programs

    def command(self) -> Sequence[str]:
        return (str(self._programs / "python"), "-m", *self._command)

    def environment(self) -> dict[str, str]:
        stack = self.field.stack
        return {
            **os.environ,
            "BENCH_BROKER": self.url,
            "BENCH_ENDPOINT": stack.endpoint,
            "BENCH_ACCESS_KEY": stack.access_key,
            "BENCH_SECRET_KEY": stack.secret_key,
            "BENCH_BUCKET": stack.bucket,
            "BENCH_UPLOADS": stack.uploads_bucket,
            "BENCH_MODEL": self.field.model,
            "BENCH_RESULTS": self._results(),
            "BENCH_DONE": str(self.done_file()),
            "BENCH_DEVICE_RATE": str(self.device_rate or ""),
            "OMP_NUM_THREADS": "1",  # its processes fill the cores already
        }

    def submit(self, entry: Entry) -> float:
        told = subprocess.run(
            [self._programs / "python", "-m", "benchmarks.contenders.submitter", self._module],
            input=json.dumps(entry.images),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return float(told.stdout)

    def done_file(self) -> Path:
        return self.folder / "done"

    def done_line(self, line: str) -> Done | None:
        return Done(*json.loads(line))

    def stored(self, entry: Entry) -> int:
        prefix = f"{self._results()}/{entry.name}-"
        found = [info.key[len(self._results()) + 1 :] for info in self.field.store.list(prefix)]
        return len({name.partition(".")[0] for name in found})

    def _results(self) -> str:
        return f"by-hand/{self.name.replace(' ', '-')}"
