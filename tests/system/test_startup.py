import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.stack import Stack
from tests.system.conftest import OWN, connected
from tests.system.running_platform import Platform, wait_until

CELERY = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
SHOAL = [sys.executable, "-m", "console.cli"]


def run(platform: Platform, command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    env = platform.environment(C_FORCE_ROOT="1", **environment)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("pool", [["--pool", "prefork"], []])  # prefork is Celery's default
def test_a_prefork_worker_refuses_and_says_what_to_do(platform: Platform, pool: list[str]) -> None:
    done = run(platform, [*CELERY, *pool])
    assert done.returncode == 78
    assert "CUDA does not survive a fork" in done.stderr
    assert "--pool threads" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SHOAL_BROKER__URL", "redis://127.0.0.1:1/0", "no broker: redis://127.0.0.1:1/0"),
        ("SHOAL_STORE__ENDPOINT", "http://127.0.0.1:1", "no store: bucket shoal at http://127.0.0.1:1"),
        ("SHOAL_STORE__BUCKET", "no-such-bucket", "no store: bucket no-such-bucket"),
    ],
)
def test_a_worker_waits_a_bounded_time_and_says_what_is_missing(
    platform: Platform, setting: str, value: str, said: str
) -> None:
    quick = {"SHOAL_WORKER__STARTUP_TIMEOUT_S": "5", "SHOAL_STORE__MAX_RETRIES": "0"}
    done = run(platform, [*SHOAL, "worker"], **{setting: value, **quick})
    assert done.returncode == 69
    assert said in done.stderr
    assert f"correct {setting.partition('__')[0]}__" in done.stderr
    assert "waiting" in done.stderr
    said_to_wait_s = [int(found) for found in re.findall(r"left_s=(-?\d+)", done.stderr)]
    assert 0 <= said_to_wait_s[0] <= 5  # and it ended


def test_sigterm_ends_a_worker_that_waits_for_its_servers(platform: Platform) -> None:
    log = platform.workdir / "waiting.log"
    env = platform.environment(SHOAL_BROKER__URL="redis://127.0.0.1:1/0")
    with (
        log.open("wb") as out,
        subprocess.Popen([*SHOAL, "worker"], stdout=out, stderr=out, env=env) as process,
    ):
        try:
            wait_until(lambda: "waiting" in log.read_text(), 60, "it waits")
            asked = time.monotonic()
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
    assert time.monotonic() - asked < 30  # it would have waited for 60 s
    assert "Traceback" not in log.read_text()


def test_sigterm_ends_a_worker_whose_broker_hangs(server_programs: None, tmp_path: Path) -> None:
    with Stack(fsync=False) as stack:
        for platform in connected(stack, OWN, tmp_path):
            platform.promote_tiny_model()
            with contextlib.ExitStack() as then, platform.running("worker", "worker ready") as log:
                refs = platform.upload_kinds("hang", 3)
                platform.results(refs, platform.submit(refs))
                os.kill(stack.valkey.pid, signal.SIGSTOP)
                then.callback(os.kill, stack.valkey.pid, signal.SIGCONT)
                asked = time.monotonic()
            took_s = time.monotonic() - asked
    assert took_s < 30, log.read_text()  # a container's grace: 6 s on a free machine, 15 on a busy one


def test_a_mistyped_setting_is_refused_by_name(platform: Platform) -> None:
    done = run(platform, [*SHOAL, "worker"], SHOAL_STORE__BUKET="x")
    assert done.returncode == 78
    assert "SHOAL_STORE__BUKET" in done.stderr


def test_up_ends_with_the_reason_when_a_setting_is_wrong(platform: Platform, tmp_path: Path) -> None:
    done = run(platform, [*SHOAL, "up", "--data-dir", str(tmp_path)], SHOAL_WORKER__THREADS="0")
    assert done.returncode == 78
    assert "all has stopped: shoal worker: SHOAL_WORKER__THREADS: " in done.stdout.splitlines()[-1]


def test_no_secret_stands_in_a_workers_log(platform: Platform) -> None:
    with platform.running("worker", "worker ready") as log:
        text = log.read_text()
    assert "settings" in text
    password = platform.broker.url.get_secret_value().partition(":")[2].partition("@")[0].removeprefix("//:")
    assert len(password) > 8
    assert password not in text
    assert platform.stack.secret_key not in text
