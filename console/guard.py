"""Run one command that must not outlive whoever started it.

    python -I -S guard.py [--grace-s N] [--pid-fd FD] [--remove PATH]... -- CMD...

| the guard gets | what it does |
|---|---|
| end of file on stdin: the starter is gone, even by SIGKILL | TERM to CMD, KILL after the grace time |
| SIGTERM, SIGHUP | the same |
| SIGUSR1 | KILL to CMD and its process group, at once |
| SIGINT | nothing: Ctrl-C is the starter's to handle |
| CMD ends | KILL to what CMD left in its group, then exit with CMD's status (128 + N for signal N) |

Give it a pipe on stdin and keep the other end open. CMD gets a session of its own and an empty
stdin. On Linux a SIGKILL of the guard itself also kills CMD. Standard library only: it starts in
some 50 ms.
"""

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

COMMAND_NOT_FOUND = 127
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def guarded(
    command: Sequence[str],
    *,
    grace_s: float,
    pid_fd: int,
    remove: Sequence[Path] = (),
    remove_orphaned: Sequence[Path] = (),
) -> list[str]:
    """Give the command line that runs `command` under a guard.

    Args:
        command: program and arguments.
        grace_s: seconds between TERM and KILL.
        pid_fd: the guard writes CMD's process id to this open descriptor and closes it.
        remove: files to delete when CMD has ended.
        remove_orphaned: folders to delete when CMD has ended because the starter was gone.
    """
    options = ["--grace-s", str(grace_s), "--pid-fd", str(pid_fd)]
    for path in remove:
        options += ["--remove", str(path)]
    for path in remove_orphaned:
        options += ["--remove-orphaned", str(path)]
    return [sys.executable, "-I", "-S", __file__, *options, "--", *command]


class Guard:
    """Watches one command and its starter; see the module for what it answers to."""

    def __init__(self, grace_s: float) -> None:
        self.orphaned = False
        self._grace_s = grace_s
        self._deadline: float | None = None
        self._pending: list[int] = []
        self._watched = [sys.stdin.fileno()]
        self._wake_fd, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # handlers, not SIG_IGN: exec would hand an ignored signal on to CMD
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._note)

    def run(self, command: Sequence[str], pid_fd: int | None) -> int:
        """Run the command to its end, whatever ends it.

        Returns:
            Its exit status, or 128 + N when signal N ended it.

        Raises:
            OSError: the command cannot be started.
        """
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - the guard has no threads
        )
        if pid_fd is not None:
            with contextlib.suppress(BrokenPipeError), os.fdopen(pid_fd, "w") as report:
                report.write(f"{child.pid}\n")
        while child.poll() is None:
            self._sleep()
            self._act(child)
        _kill_group(child.pid)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(number)

    def _sleep(self) -> None:
        """Wait for a signal, the end of stdin, or the end of the grace time."""
        timeout_s = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        ready, _, _ = select.select([*self._watched, self._wake_fd], [], [], timeout_s)
        for fd in ready:
            if not os.read(fd, 4096):  # only stdin can end
                self._watched.clear()
                self.orphaned = True
                self._pending.append(signal.SIGTERM)

    def _act(self, child: subprocess.Popen[bytes]) -> None:
        while self._pending:
            number = self._pending.pop(0)
            if number in (signal.SIGTERM, signal.SIGHUP):
                child.terminate()
                self._deadline = self._deadline or time.monotonic() + self._grace_s
            elif number == signal.SIGUSR1:
                _kill_group(child.pid)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            _kill_group(child.pid)
            self._deadline = None


def _die_with(guard_pid: int) -> Callable[[], None] | None:
    """On Linux: what the child runs before exec so that it is killed when the guard is."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:  # it died before we asked
            os._exit(1)

    return ask


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(pid, signal.SIGKILL)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="run a command that must not outlive its starter")
    parser.add_argument("--grace-s", type=float, default=5.0)
    parser.add_argument("--pid-fd", type=int)
    parser.add_argument("--remove", action="append", type=Path, default=[])
    parser.add_argument("--remove-orphaned", action="append", type=Path, default=[])
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command given in `sys.argv`; the exit status is its own."""
    options = _parse(sys.argv[1:])
    guard = Guard(options.grace_s)
    try:
        return guard.run(options.command, options.pid_fd)
    except OSError as err:
        sys.stderr.write(f"cannot start {options.command[0]}: {err}\n")
        return COMMAND_NOT_FOUND
    finally:
        for path in options.remove:
            path.unlink(missing_ok=True)
        for path in options.remove_orphaned if guard.orphaned else []:
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
