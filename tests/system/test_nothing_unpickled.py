"""Nothing that comes from the store or the broker is unpickled; nor is a pickle that somebody sends."""

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.running_platform import Platform, wait_until
from tests.system.test_odd_messages import answered, message, push
from tests.system.test_retraining import retrain, runs
from tests.system.test_upload_to_result import envelope
from tests.system.tiny_retraining import RETRAINED

WATCH: Final = Path(__file__).parent / "pickle_watch"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.file}",))


def watched(log: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(WATCH), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "PICKLE_WATCH": str(log)}


def unpicklings(log: Path) -> list[dict[str, Any]]:
    """What was noted. No exception is made: not even between processes of ours does a pickle travel."""
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    return [entry for entry in notes if entry["what"] != "watched"]


WAYS: Final = {
    "pickle.loads(pickle.dumps(1))": "pickle.loads",
    "pickle.Unpickler(io.BytesIO(pickle.dumps(1))).load()": "pickle.Unpickler",
    "pickle._Unpickler(io.BytesIO(pickle.dumps(1))).load()": "pickle._Unpickler",
    "import _pickle; _pickle.loads(_pickle.dumps(1))": "pickle.loads",
    "import torch; torch.save(1, 'f'); torch.load('f', weights_only=False)": "pickle.Unpickler",
    "import numpy; numpy.save('f.npy', [{}]); numpy.load('f.npy', allow_pickle=True)": "pickle.load",
    "from kombu.serialization import pickle_loads; pickle_loads(pickle.dumps(1))": "pickle.load",
}


@pytest.mark.parametrize("code", WAYS)
def test_the_watch_sees_every_way_to_unpickle(tmp_path: Path, code: str) -> None:
    log = tmp_path / "watch"
    command = [sys.executable, "-W", "ignore", "-c", f"import io, pickle; {code}"]
    subprocess.run(command, env={**os.environ, **watched(log)}, cwd=tmp_path, check=True, timeout=120)
    assert WAYS[code] in {entry["what"] for entry in unpicklings(log)}


def test_worker_and_trainer_unpickle_nothing(platform: Platform) -> None:
    """From the first message to a retrained model that the worker serves."""
    log = platform.workdir / "watch"
    platform.promote_tiny_model()
    refs = platform.upload_kinds("watched", 100)
    with platform.running("worker", "worker ready", **watched(log)) as workers_log:
        platform.results(refs, platform.submit(refs), patience_s=60)
        with platform.running("trainer", "trainer ready", **RETRAINED, **watched(log)) as trainers_log:
            retrain(platform)
            wait_until(lambda: "run ended" in trainers_log.read_text(), 120, "the run")
        (run,) = runs(platform)
        assert run.state in {"promoted", "challenger"}, run.reason
        if run.state == "promoted":
            wait_until(lambda: str(run.version) in workers_log.read_text(), 60, "the worker swaps")

    processes = {json.loads(line)["pid"] for line in log.read_text().splitlines()}
    assert len(processes) >= 2
    assert unpicklings(log) == []


def test_a_pickle_that_is_sent_is_not_executed_and_the_worker_goes_on(serving: Platform) -> None:
    traps = [serving.workdir / f"trap-{number}" for number in range(5)]
    kinds = ["application/x-python-serialize", "pickle", "application/x-yaml", "application/x-msgpack"]
    letters = [pickled(serving, Bomb(trap), kind) for trap, kind in zip(traps, kinds, strict=False)]
    bare = base64.b64encode(pickle.dumps(Bomb(traps[4]))).decode()
    letters.append({**pickled(serving, Bomb(traps[4]), "application/json"), "body": bare})
    good = message(serving, "good")

    push(serving, *letters, envelope(good))

    wait_until(lambda: answered(serving, good), 60, "the good one behind them")
    assert [trap for trap in traps if trap.exists()] == []


def pickled(platform: Platform, bomb: Bomb, content_type: str) -> dict[str, Any]:
    """A message whose body is a pickle: right in all else."""
    letter: dict[str, Any] = envelope(message(platform, bomb.file.name))
    body = pickle.dumps([[], {"images": [bomb]}, {}])
    encoding = "binary" if "json" not in content_type else "utf-8"
    return {
        **letter,
        "body": base64.b64encode(body).decode(),
        "content-type": content_type,
        "content-encoding": encoding,
    }
