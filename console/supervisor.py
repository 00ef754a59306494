import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Self, TextIO

from console.guarded_process import GuardedProcess
from producer.errors import ConfigurationError

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
HEALTHY_S = 90.0  # longer than a child waits for its servers, imports included
QUICK_S = 2.0  # in which a child may stop without a word
COLOURS = (36, 33, 35, 32, 34, 31)  # ANSI foregrounds, in the order of the children


@dataclass(frozen=True)
class Child:
    """One process to keep running.

    Args:
        name: stands before each line of its log.
        command: program and arguments.
        env: added to our own environment.
        grace_s: seconds between TERM and KILL when it must stop.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 10.0


class Supervisor:
    """Keeps its children running, with one log of all their output.

    A child that ends is started again after 1, 2, 4 ... 30 s (1 s again once it has lived for HEALTHY_S), and
    the log says so. Waiting for servers, which ends with status 69, is no life. One that ends with status 78
    before it ever lived so long found a setting wrong and would end so again: it stays down, and `run`
    stops all. Later a 78 may pass, as when keys are exchanged, and is like any other end. No child outlives
    this process, however it ends.

    Args:
        children: started in this order, stopped in the reverse one.
        out: gets the log; stdout when None. Names are coloured on a terminal only.
        stop_timeout_s: for all children together; those that still run then are killed.
    """

    def __init__(
        self, children: Sequence[Child], *, out: TextIO | None = None, stop_timeout_s: float = 60.0
    ) -> None:
        width = max((len(child.name) for child in children), default=0)
        log = _Log(out or sys.stdout, width)
        self._ends: SimpleQueue[_Kept | None] = SimpleQueue()  # unlike an Event, safe in a signal handler
        self._kept = [
            _Kept(child, log, COLOURS[i % len(COLOURS)], self._ends.put) for i, child in enumerate(children)
        ]
        self._stop_timeout_s = stop_timeout_s
        self._asked_to_stop = False

    def run(self) -> int:
        """Run in the foreground until SIGINT or SIGTERM, then stop all. A second signal kills at once.

        Returns:
            The exit status: 0 after a signal, 78 after a child that found a setting wrong from the start.
        """
        with self._signals(), self:
            misled = self._ends.get()
        if misled is None:
            return os.EX_OK
        misled.say_why()
        return os.EX_CONFIG

    def start(self) -> None:
        """Start the children and return; `run` does it too."""
        for kept in self._kept:
            kept.start()

    def stop(self) -> None:
        """Stop all children, the last one first. When it returns none runs."""
        deadline = time.monotonic() + self._stop_timeout_s
        for kept in reversed(self._kept):
            kept.stop(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked_to_stop:
            for kept in self._kept:
                kept.kill()
        self._asked_to_stop = True
        self._ends.put(None)


class _Log:
    """Whole lines of several children on one stream."""

    def __init__(self, out: TextIO, width: int) -> None:
        self._out = out
        self._width = width
        self._coloured = out.isatty()
        self._lock = threading.Lock()

    def line(self, name: str, colour: int, text: str) -> None:
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        # nobody reads on (`shoal up | head`): the children go on all the same
        with self._lock, suppress(BrokenPipeError):
            self._out.write(f"{prefix} {text}\n")
            self._out.flush()


class _Kept:
    """One child, the thread that restarts it, and the thread that reads what it says."""

    def __init__(
        self, child: Child, log: _Log, colour: int, on_wrong_setting: "Callable[[_Kept], object]"
    ) -> None:
        self._on_wrong_setting = on_wrong_setting
        self._last_line = ""
        self._child = child
        self._log = log
        self._colour = colour
        self._process: GuardedProcess | None = None
        self._stopping = threading.Event()
        self._turn = threading.Lock()  # no start once stopping
        self._thread = threading.Thread(target=self._keep, name=f"keep-{child.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        with self._turn:
            self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        if self._thread.is_alive():
            self._thread.join(min(QUICK_S, timeout_s))
        if self._thread.is_alive():
            left_s = min(timeout_s, self._child.grace_s)
            self._say(f"still at work; it is killed {left_s:.2g} s after it was asked to stop")
            self._thread.join(timeout_s - QUICK_S)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(5.0)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def say_why(self) -> None:
        """Repeat its last line, which the ends of the others have pushed out of sight."""
        self._say(f"all has stopped: {self._last_line}")

    def _keep(self) -> None:
        failures, was_well = 0, False
        while not self._stopping.is_set():
            started = time.monotonic()
            ending, status = self._run_once()
            if self._stopping.is_set():
                self._say(f"stopped ({ending})")
                return
            # with 69 it only waited for its servers, however long
            if status != os.EX_UNAVAILABLE and time.monotonic() - started > HEALTHY_S:
                failures, was_well = 0, True
            if status == os.EX_CONFIG and not was_well:
                self._say(f"{ending}: starting it again would not help")
                self._on_wrong_setting(self)
                return
            delay_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            failures += 1
            self._say(f"{ending}; starting it again in {delay_s:g} s")
            self._stopping.wait(delay_s)

    def _run_once(self) -> tuple[str, int | None]:
        """Run the child to its end, and tell how it ended: in words, and its status if it was started."""
        with self._turn:
            if self._stopping.is_set():
                return "not started", None
            try:
                process = self._spawn()
            except ConfigurationError as err:
                return str(err), None
            self._process = process
        self._say(f"started (process {process.pid})")
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        status = process.wait()
        reader.join(2.0)  # something that left its process group may hold the pipe for longer
        return _ending(status), status

    def _spawn(self) -> GuardedProcess:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._child.env}
        return GuardedProcess(
            self._child.command, output=subprocess.PIPE, env=env, grace_s=self._child.grace_s
        )

    def _read(self, process: GuardedProcess) -> None:
        for line in process.lines():
            self._last_line = line
            self._say(line)

    def _say(self, text: str) -> None:
        self._log.line(self._child.name, self._colour, text)


def _ending(status: int) -> str:
    """Say how a process ended: its status, or the name of the signal."""
    if status > 128:
        with suppress(ValueError):
            return f"ended by {signal.Signals(status - 128).name}"
    return f"ended with status {status}"
