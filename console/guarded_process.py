import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from console.guard import guarded
from producer.errors import ConfigurationError


class GuardedProcess:
    """A running command that cannot outlive this process, however this process ends.

    Started by its construction, in a session of its own: the terminal's Ctrl-C does not reach it.
    (A fork of this process without exec counts as this process: while it lives, so may the command.)

    Args:
        command: program and arguments.
        output: where its stdout and stderr go: a file, or `subprocess.PIPE` to read `lines()`.
        env: its whole environment; None for a copy of ours.
        cwd: its working folder.
        grace_s: seconds between TERM and KILL.
        keep_fds: descriptors that stay open until it has ended (a lock), but that it does not get.
        remove: files deleted after it has ended.
        remove_orphaned: folders deleted after it has ended, if we are gone by then.

    Raises:
        ConfigurationError: the program cannot be started.
    """

    pid: int

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: IO[bytes] | int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float = 5.0,
        keep_fds: Sequence[int] = (),
        remove: Sequence[Path] = (),
        remove_orphaned: Sequence[Path] = (),
    ) -> None:
        reader, writer = os.pipe()
        with os.fdopen(reader) as report:
            try:
                self._guard = subprocess.Popen(
                    guarded(
                        command,
                        grace_s=grace_s,
                        pid_fd=writer,
                        remove=remove,
                        remove_orphaned=remove_orphaned,
                    ),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                    pass_fds=(writer, *keep_fds),
                    start_new_session=True,
                )
            finally:
                os.close(writer)
            pid = report.readline()
        if not pid:
            self.wait(grace_s)
            if self._guard.stdout is not None:
                self._guard.stdout.close()
            raise ConfigurationError(f"{command[0]} cannot be started: is it installed and executable?")
        self.pid = int(pid)

    def poll(self) -> int | None:
        """Exit status (128 + N for signal N), or None while it runs."""
        status = self._guard.poll()
        if status is not None:
            self._close_stdin()
        return status

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end.

        Returns:
            Its exit status, 128 + N when signal N ended it.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        status = self._guard.wait(timeout_s)
        self._close_stdin()
        return status

    def lines(self) -> Iterator[str]:
        """Give its output line by line, without line ends, until all that share the pipe have ended."""
        if self._guard.stdout is None:
            return
        with self._guard.stdout as pipe:
            for line in pipe:
                yield line.decode(errors="replace").rstrip("\r\n")

    def terminate(self) -> None:
        """Ask it to end: TERM now, KILL after the grace time. Does not wait."""
        self._guard.terminate()

    def kill(self) -> None:
        """KILL it and its process group now. Does not wait."""
        self._guard.send_signal(signal.SIGUSR1)

    def _close_stdin(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()
