"""A process of Shoal that starts warm: the imports, five seconds of CPU each time, are done once for all."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

WARM: Final = [
    "console.commands.roles",
    "celery.apps.worker",
    "worker.context",
    "training.retrain",
]
PR_SET_PDEATHSIG: Final = 1
POLL_S: Final = 0.02

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__, *WARM])
_lock = threading.RLock()  # two threads that ask for one status take it from each other


class ForkedProcess:
    """A running `python -m MODULE ARGUMENTS` that was forked from a process with the imports done.

    It has nothing else of that process: no thread, no connection, no settings. It is killed when this
    process is gone.

    Args:
        module: has a `main()`.
        arguments: its `sys.argv` without the first.
        output: file that its stdout and stderr are appended to.
        env: its whole environment.
        cwd: its working folder.
        grace_s: seconds that `wait` gives it after `terminate`, before KILL.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        output: Path,
        env: Mapping[str, str],
        cwd: Path,
        grace_s: float = 20.0,
    ) -> None:
        self._grace_s = grace_s
        self._kill_at: float | None = None
        output.touch()
        with _lock:
            self._process: ForkServerProcess = _forks.Process(
                target=_run, args=(module, list(arguments), str(output), dict(env), str(cwd))
            )
            self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        """Exit status (128 + N for signal N), or None while it runs."""
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self._process.kill()
        with _lock:
            status = self._process.exitcode
        return status if status is None or status >= 0 else 128 - status

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; gives its exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while (status := self.poll()) is None:
            if give_up_at is not None and time.monotonic() > give_up_at:
                raise subprocess.TimeoutExpired(str(self.pid), timeout_s or 0)
            time.sleep(POLL_S)
        return status

    def terminate(self) -> None:
        """Ask it to end: TERM now, KILL after the grace time. Does not wait."""
        self._kill_at = self._kill_at or time.monotonic() + self._grace_s
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """KILL it now. Does not wait."""
        self._process.kill()


def _run(module: str, arguments: Sequence[str], output: str, env: Mapping[str, str], cwd: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    sys.argv = [module, *arguments]
    import_module(module).main()
