"""Workers that are started again when they die, as an orchestrator would."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.faults.report import LONG
from tests.system.forked_process import ForkedProcess
from tests.system.running_platform import Platform, wait_until

ROOT = Path(__file__).parents[3]
READY = "worker ready"
LEASE_S = "2"  # of these tests, so that the dead are found soon
WITNESS_AFTER_S = "10" if LONG else "2"


@dataclass
class Fleet:
    """So many workers, kept running until the block is left; see `fleet`."""

    platform: Platform
    size: int
    environment: dict[str, str]
    kill_at: list[str] = field(default_factory=list)  # failpoints, one for each start to come
    statuses: list[int] = field(default_factory=list)  # of those that ended and were started again
    running: list[tuple[ForkedProcess, Path]] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start_one(self) -> None:
        log = self.platform.workdir / f"fleet-{time.monotonic_ns()}.log"
        environment = {
            "SHOAL_BROKER__LEASE_S": LEASE_S,
            "SHOAL_WORKER__WITNESS_AFTER_S": WITNESS_AFTER_S,
            **self.environment,
        }
        if self.kill_at:
            environment["FAULT_KILL_AT"] = self.kill_at.pop(0)
        process = ForkedProcess(
            "tests.system.faults.failpoints",
            ["worker"],
            output=log,
            env=self.platform.environment(**environment),
            cwd=self.platform.workdir,
            grace_s=30,
        )
        self.running.append((process, log))

    def keep(self) -> None:
        """Start again whatever died, until the end."""
        while not self._ending.wait(0.1):
            with self._lock:
                if self._ending.is_set():  # while this thread waited for the lock
                    return
                for each in [each for each in self.running if each[0].poll() is not None]:
                    self.running.remove(each)
                    self.statuses.append(each[0].wait())
                    if len(self.running) < self.size:
                        self.start_one()

    @property
    def deaths(self) -> int:
        """Count the ends that were not orderly."""
        return sum(status != 0 for status in self.statuses)

    def ready(self) -> list[ForkedProcess]:
        with self._lock:
            return [process for process, log in self.running if READY in log.read_text()]

    def signal_one(self, number: signal.Signals, rng: random.Random) -> bool:
        """Send a signal to one of those that work; tells whether one did."""
        candidates = [process for process in self.ready() if process.poll() is None]
        if not candidates:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(candidates).pid, number)
        return True

    def stop(self) -> list[int]:
        """End them all in an orderly way; gives their exit statuses."""
        self._ending.set()
        with self._lock:
            for process, _ in self.running:
                process.terminate()
            return [process.wait() for process, _ in self.running]

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.platform.workdir.glob("fleet-*.log")))


@contextlib.contextmanager
def fleet(platform: Platform, size: int, kill_at: Sequence[str] = (), **environment: str) -> Iterator[Fleet]:
    """Run workers until the block is left; gives them once one is ready."""
    workers = Fleet(platform, size, environment, list(kill_at))
    for _ in range(size):
        workers.start_one()
    keeper = threading.Thread(target=workers.keep, daemon=True)
    keeper.start()
    try:
        wait_until(lambda: bool(workers.ready()), 180, "a worker of the fleet")
        yield workers
    finally:
        workers.stop()
        keeper.join(10)
