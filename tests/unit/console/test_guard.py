import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from console import guard

SLEEP = [sys.executable, "-S", "-c", "print('up', flush=True); import time; time.sleep(60)"]
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = [*SLEEP[:-1], IGNORE_TERM + SLEEP[-1]]

Start = Callable[..., "Guarded"]


class Guarded:
    """A guard as its starter sees it: a process, the pipe on its stdin, and the command's process id."""

    def __init__(self, command: list[str], *options: str) -> None:
        reader, writer = os.pipe()
        with os.fdopen(reader) as report:
            self.guard = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    guard.__file__,
                    "--pid-fd",
                    str(writer),
                    *options,
                    "--",
                    *command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
                start_new_session=True,
            )
            os.close(writer)
            self.pid = int(report.readline() or 0)

    def wait_up(self) -> None:
        assert self.guard.stdout is not None
        assert self.guard.stdout.readline() == b"up\n"

    def close_stdin(self) -> None:
        assert self.guard.stdin is not None
        self.guard.stdin.close()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)
        self.guard.kill()
        with self.guard:
            pass


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as started:

        def run(command: list[str], *options: str) -> Guarded:
            guarded = Guarded(command, *options)
            started.callback(guarded.end)
            return guarded

        yield run


def ended(pid: int, within_s: float = 5.0) -> bool:
    """Whether the process ends in time; a zombie has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("status", [0, 3])
def test_exit_status_is_the_commands(start: Start, status: int) -> None:
    guarded = start([sys.executable, "-S", "-c", f"raise SystemExit({status})"])

    assert guarded.guard.wait(10) == status


def test_death_by_signal_is_reported_as_128_plus_its_number(start: Start) -> None:
    guarded = start(SLEEP)
    guarded.wait_up()

    os.kill(guarded.pid, signal.SIGKILL)

    assert guarded.guard.wait(10) == 128 + signal.SIGKILL


def test_unknown_command_is_127(start: Start) -> None:
    assert start(["/nonexistent/program"]).guard.wait(10) == guard.COMMAND_NOT_FOUND


def test_end_of_stdin_terminates_the_command(start: Start) -> None:
    guarded = start(SLEEP)
    guarded.wait_up()

    guarded.close_stdin()

    assert guarded.guard.wait(10) == 128 + signal.SIGTERM
    assert ended(guarded.pid)


def test_command_that_ignores_term_is_killed_after_the_grace_time(start: Start) -> None:
    guarded = start(STUBBORN, "--grace-s", "0.5")
    guarded.wait_up()
    asked = time.monotonic()

    guarded.close_stdin()

    assert guarded.guard.wait(10) == 128 + signal.SIGKILL
    assert time.monotonic() - asked >= 0.5


def test_sigterm_is_forwarded(start: Start) -> None:
    guarded = start(SLEEP)
    guarded.wait_up()

    guarded.guard.terminate()

    assert guarded.guard.wait(10) == 128 + signal.SIGTERM


def test_sigusr1_kills_at_once(start: Start) -> None:
    guarded = start(STUBBORN, "--grace-s", "60")
    guarded.wait_up()

    guarded.guard.send_signal(signal.SIGUSR1)

    assert guarded.guard.wait(10) == 128 + signal.SIGKILL


def test_ctrl_c_is_not_the_guards_business(start: Start) -> None:
    guarded = start(SLEEP)
    guarded.wait_up()

    guarded.guard.send_signal(signal.SIGINT)

    with pytest.raises(subprocess.TimeoutExpired):
        guarded.guard.wait(0.3)


def test_command_still_hears_ctrl_c(start: Start) -> None:
    guarded = start(SLEEP)
    guarded.wait_up()

    os.kill(guarded.pid, signal.SIGINT)

    assert guarded.guard.wait(10) == 128 + signal.SIGINT


def test_what_the_command_left_in_its_group_is_killed(start: Start) -> None:
    leave_one = f"import subprocess; print(subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL).pid)"
    guarded = start([sys.executable, "-S", "-c", leave_one])
    assert guarded.guard.stdout is not None
    left_behind = int(guarded.guard.stdout.readline())

    guarded.guard.wait(10)

    assert ended(left_behind)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_sigkill_of_the_guard_kills_the_command(start: Start) -> None:
    guarded = start(STUBBORN)
    guarded.wait_up()

    guarded.guard.kill()

    assert ended(guarded.pid)


def test_files_are_removed_at_the_end_and_folders_only_when_orphaned(start: Start, tmp_path: Path) -> None:
    file, folder = tmp_path / "socket", tmp_path / "folder"
    options = ("--remove", str(file), "--remove-orphaned", str(folder))

    file.touch()
    folder.mkdir()
    guarded = start(SLEEP, *options)
    guarded.wait_up()
    guarded.guard.terminate()
    guarded.guard.wait(10)
    assert not file.exists()
    assert folder.exists()

    guarded = start(SLEEP, *options)
    guarded.wait_up()
    guarded.close_stdin()
    guarded.guard.wait(10)
    assert not folder.exists()
