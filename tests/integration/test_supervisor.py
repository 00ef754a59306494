import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from console import supervisor
from console.supervisor import Child, Supervisor

ROOT = Path(__file__).parents[2]
FOREVER = "import os, time; print('pid', os.getpid()); time.sleep(60)"


def python(name: str, code: str, *, env: dict[str, str] | None = None, grace_s: float = 5.0) -> Child:
    return Child(name=name, command=[sys.executable, "-S", "-c", code], env=env or {}, grace_s=grace_s)


class Log(io.StringIO):
    """What a supervisor said so far, with a way to wait for it."""

    def wait_for(self, text: str, count: int = 1, within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while self.getvalue().count(text) < count:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.getvalue()}"
            time.sleep(0.02)

    def pids(self) -> list[int]:
        return [int(line.split("pid ")[1]) for line in self.getvalue().splitlines() if "| pid " in line]


def test_log_lines_carry_aligned_names_without_colour_off_a_terminal() -> None:
    log = Log()

    with Supervisor([python("a", "print('one')"), python("longer", "print('two')")], out=log):
        log.wait_for("one")
        log.wait_for("two")

    assert "a      | one\n" in log.getvalue()
    assert "longer | two\n" in log.getvalue()
    assert "\x1b" not in log.getvalue()


def test_names_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(log, "isatty", lambda: True)

    with Supervisor([python("a", "print('one')")], out=log):
        log.wait_for("one")

    assert "\x1b[36ma |\x1b[0m one\n" in log.getvalue()


def test_child_gets_its_environment_added_to_ours() -> None:
    log = Log()

    with Supervisor(
        [python("a", "import os; print(os.environ['MINE'], 'PATH' in os.environ)", env={"MINE": "x"})],
        out=log,
    ):
        log.wait_for("x True")


def test_dying_child_is_restarted_with_growing_delays_and_it_is_said() -> None:
    log = Log()

    with Supervisor([python("worker", "print('hello'); raise SystemExit(3)")], out=log):
        log.wait_for("hello", count=3)

    assert "worker | ended with status 3; starting it again in 1 s" in log.getvalue()
    assert "worker | ended with status 3; starting it again in 2 s" in log.getvalue()


def test_a_child_that_finds_a_setting_wrong_ends_all_and_its_reason_is_said_last() -> None:
    misled = "print('shoal misled: SHOAL_X is wrong'); raise SystemExit(78)"
    program = (
        "import sys; from console.supervisor import Child, Supervisor\n"
        f"misled, other = ([sys.executable, '-S', '-c', code] for code in ({misled!r}, {FOREVER!r}))\n"
        "sys.exit(Supervisor([Child('misled', misled), Child('other', other)]).run())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 78
    assert done.stdout.count("misled | started") == 1
    assert "other  | stopped (" in done.stdout
    assert done.stdout.splitlines()[-1] == "misled | all has stopped: shoal misled: SHOAL_X is wrong"


def test_a_child_that_was_well_once_is_started_again_whatever_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "HEALTHY_S", 0.5)
    log, was_well = Log(), tmp_path / "was-well"
    code = (
        f"import os, time; print('hello'); was_well = {str(was_well)!r}\n"
        "if os.path.exists(was_well): raise SystemExit(78)\n"
        "open(was_well, 'w').close(); time.sleep(1)"
    )

    with Supervisor([python("worker", code)], out=log):
        log.wait_for("hello", count=3)

    assert "worker | ended with status 78; starting it again in" in log.getvalue()


def test_a_child_that_only_waited_for_its_servers_was_never_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HEALTHY_S", 0.0)
    log = Log()

    with Supervisor([python("worker", "print('hello'); raise SystemExit(69)")], out=log):
        log.wait_for("hello", count=3)

    assert "worker | ended with status 69; starting it again in 2 s" in log.getvalue()


def test_the_first_ctrl_c_while_all_stop_after_a_wrong_setting_kills_nobody(tmp_path: Path) -> None:
    ready = str(tmp_path / "ready")
    misled = f"import os, time\nwhile not os.path.exists({ready!r}): time.sleep(0.02)\nraise SystemExit(78)"
    slow = (
        "import signal, time\n"
        "def end(*_): print('ending'); time.sleep(2); print('ended in order'); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({ready!r}, 'w').close(); time.sleep(60)"
    )
    program = (
        "import sys; from console.supervisor import Child, Supervisor\n"
        f"misled, slow = ([sys.executable, '-S', '-c', code] for code in ({misled!r}, {slow!r}))\n"
        "sys.exit(Supervisor([Child('misled', misled), Child('slow', slow)]).run())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        while "slow   | ending" not in (line := parent.stdout.readline()):
            assert line, "it ended too early"
        parent.send_signal(signal.SIGINT)
        rest = parent.stdout.read()

    assert "slow   | ended in order" in rest
    assert parent.returncode == 78


def test_a_child_whose_servers_are_away_is_started_again() -> None:
    log = Log()

    with Supervisor([python("worker", "print('hello'); raise SystemExit(69)")], out=log):
        log.wait_for("hello", count=2)


def test_delay_starts_over_after_a_healthy_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HEALTHY_S", 0.0)
    log = Log()

    with Supervisor([python("worker", "print('hello')")], out=log):
        log.wait_for("hello", count=3)

    assert log.getvalue().count("starting it again in 1 s") >= 2
    assert "in 2 s" not in log.getvalue()


def test_death_by_signal_is_named() -> None:
    log = Log()

    with Supervisor([python("worker", FOREVER)], out=log):
        log.wait_for("pid ")
        os.kill(log.pids()[0], signal.SIGKILL)
        log.wait_for("worker | ended by SIGKILL; starting it again in 1 s")


def test_missing_program_is_said_and_tried_again() -> None:
    log = Log()

    with Supervisor([Child("worker", ["/nonexistent/program"])], out=log):
        log.wait_for("/nonexistent/program cannot be started")
        log.wait_for("starting it again in 1 s")


def test_stop_ends_all_children_in_reverse_order() -> None:
    log = Log()
    children = [python("first", FOREVER), python("second", FOREVER), python("third", FOREVER)]

    with Supervisor(children, out=log):
        log.wait_for("| pid ", count=3)

    stopped = [line.split()[0] for line in log.getvalue().splitlines() if "stopped" in line]
    assert stopped == ["third", "second", "first"]
    assert not any(psutil.pid_exists(pid) for pid in log.pids())


def test_child_that_ignores_term_is_killed_within_the_time_limit() -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"
    log = Log()
    keeper = Supervisor([python("stubborn", stubborn, grace_s=60)], out=log, stop_timeout_s=0.5)
    keeper.start()
    log.wait_for("| pid ")
    asked = time.monotonic()

    keeper.stop()

    assert time.monotonic() - asked < 30  # it would have waited for 60 s
    assert "still at work; it is killed 0.5 s after it was asked to stop" in log.getvalue()
    assert not psutil.pid_exists(log.pids()[0])


def test_no_thread_is_left_after_stop() -> None:
    before = threading.active_count()
    log = Log()

    with Supervisor([python("a", FOREVER)], out=log):
        log.wait_for("| pid ")

    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_no_child_outlives_the_supervisor(number: signal.Signals, status: int) -> None:
    program = (
        "import sys; from console.supervisor import Child, Supervisor\n"
        f"forever = [sys.executable, '-S', '-c', {FOREVER!r}]\n"
        "sys.exit(Supervisor([Child('a', forever), Child('b', forever)]).run())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        lines = iter(parent.stdout.readline, "")
        pids = [int(next(line for line in lines if "| pid " in line).split("pid ")[1]) for _ in range(2)]
        children = [psutil.Process(pid) for pid in pids]

        parent.send_signal(number)

        assert parent.wait(15) == status
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
