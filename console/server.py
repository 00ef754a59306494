import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from console.guarded_process import GuardedProcess
from console.ports import PortTaken
from producer.errors import ConfigurationError, TransientError

POLL_S = 0.03
TAIL_LINES = 15
LOG_LIMIT_BYTES = 8 * 1024 * 1024
PORT_TAKEN = re.compile(r"address already in use|port \d+ for .* is not available", re.IGNORECASE)


@dataclass
class Server:
    """One server on this machine: start, wait until it answers, stop, kill, start again on the same data.

    It runs through the guard, so it never outlives this process. Its log is appended to `log`.

    Args:
        name: for people.
        command: program and arguments.
        log: file that gets its stdout and stderr; moved to `*.log.1` when it is large at a start.
        probe: returns when the server really answers; raises TransientError while it does not yet.
        env: its whole environment.
        cwd: its working folder.
        grace_s: seconds between TERM and KILL.
        keep_fds: descriptors (the folder's lock) that stay open until it has ended.
        remove: files deleted after it has ended.
        remove_orphaned: folders deleted after it has ended, if we are gone by then.
    """

    name: str
    command: Sequence[str]
    log: Path
    probe: Callable[[], None]
    env: Mapping[str, str]
    cwd: Path
    grace_s: float = 2.0
    keep_fds: Sequence[int] = ()
    remove: Sequence[Path] = ()
    remove_orphaned: Sequence[Path] = ()
    _process: GuardedProcess | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    @property
    def alive(self) -> bool:
        """Whether the process runs, answering or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's own process id (not the guard's), of the latest start.

        Raises:
            RuntimeError: never started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    def start(self) -> None:
        """Start the process and return at once; `wait_ready` tells when it answers. No-op while it runs.

        Raises:
            ConfigurationError: the program cannot be started.
        """
        if self.alive:
            return
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            self._process = GuardedProcess(
                self.command,
                output=output,
                env=self.env,
                cwd=self.cwd,
                grace_s=self.grace_s,
                keep_fds=self.keep_fds,
                remove=self.remove,
                remove_orphaned=self.remove_orphaned,
            )

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when the server answers its probe.

        Raises:
            PortTaken: one of its ports was bound by somebody else; start it on other ports.
            ConfigurationError: it ended by itself; the message has the log's tail.
            TransientError: it runs, but did not answer in time; the message has the log's tail.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.probe()
                break
            except TransientError as err:
                self._check(err, late=time.monotonic() > deadline, timeout_s=timeout_s)
            time.sleep(POLL_S)
        self._check_ports()

    def terminate(self) -> None:
        """Ask it to stop and return at once; it is killed after `grace_s`."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Stop it: TERM, KILL after `grace_s`. Returns when it has ended. No-op when it has."""
        self.terminate()
        self._wait_ended(self.grace_s + 5.0)

    def kill(self) -> None:
        """SIGKILL it, as a crash would. Returns when it has ended. No-op when it has."""
        if self._process is not None:
            self._process.kill()
        self._wait_ended(5.0)

    def log_tail(self) -> str:
        """The last lines of the log since the latest start."""
        return "\n".join(self._log_text().splitlines()[-TAIL_LINES:])

    def _wait_ended(self, timeout_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:  # the guard is stopped or stuck; not seen yet
            self._process.kill()
            self._process.wait(5.0)

    def _check(self, err: TransientError, *, late: bool, timeout_s: float) -> None:
        """Raise unless it is worth asking again."""
        if not self.alive:
            self._check_ports()
            raise ConfigurationError(
                f"{self.name} ended before it answered. The end of {self.log} says:\n{self.log_tail()}\n"
                f"Mend what it complains of and start again."
            ) from err
        if late:
            raise TransientError(
                f"{self.name} did not answer within {timeout_s:g} s ({err}). The end of {self.log} says:\n"
                f"{self.log_tail()}\nStart again; on a slow or busy machine allow more time."
            ) from err

    def _check_ports(self) -> None:
        if PORT_TAKEN.search(self._log_text()):
            raise PortTaken(f"{self.name} did not get its ports:\n{self.log_tail()}")

    def _log_text(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read(1024 * 1024).decode(errors="replace")
