"""`shoal train` killed with SIGKILL at half time: the same command goes on, to the same model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.layout import Layout
from producer.errors import ObjectNotFound
from tests.system.running_platform import ROOT, Platform, wait_until
from tests.tiny_model import tiny_pixels
from training.checkpoint import FitState
from training.command_checkpoints import FILE_NAME

STEPS = 160
SETTINGS = {
    "SHOAL_TRAINING__FIT__RECIPE": "pure",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[8, 16]",
    "SHOAL_TRAINING__FIT__BATCH_SIZE": "16",
    "SHOAL_TRAINING__FIT__MIN_STEPS": str(STEPS),
    "SHOAL_TRAINING__FIT__MAX_STEPS": str(STEPS),
    "SHOAL_TRAINING__FIT__PATIENCE": "1000",
    "SHOAL_TRAINING__CHECKPOINT_EVERY_S": "0.2",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}
OF_THE_CLOCK = {"train_s", "resumed_at_step"}


def command(folder: Path, *options: str) -> list[str]:
    if not (folder / "x.npy").exists():
        np.save(folder / "x.npy", tiny_pixels(200))
    return [
        *(sys.executable, "-m", "console.cli", "train", str(folder / "x.npy"), "--n-clusters", "3"),
        *("--json", *options),
    ]


def finished(arguments: list[str], env: dict[str, str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        arguments, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def killed_at_half_time(
    arguments: list[str], env: dict[str, str], folder: Path, checkpoint: Callable[[], bytes | None]
) -> None:
    """Start the command, and SIGKILL it when what it has left behind is of its second half."""
    with subprocess.Popen(
        arguments, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:

        def half_way() -> bool:
            assert running.poll() is None, "it ended too early to be killed"
            data = checkpoint()
            return data is not None and FitState.from_bytes(data).facts["steps_done"] >= STEPS // 2

        wait_until(half_way, 300, "a checkpoint of the second half")
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL


def figures(answer: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in answer["metrics"].items() if name not in OF_THE_CLOCK}


def test_a_killed_command_that_writes_a_folder_goes_on_to_the_same_model(tmp_path: Path) -> None:
    env = {**os.environ, **SETTINGS}
    unbroken = finished(command(tmp_path, "--out", "unbroken"), env, tmp_path)
    arguments, kept = command(tmp_path, "--out", "killed"), tmp_path / "killed" / FILE_NAME
    killed_at_half_time(arguments, env, tmp_path, lambda: kept.read_bytes() if kept.exists() else None)
    assert [file.name for file in kept.parent.iterdir() if file.name != f"{FILE_NAME}.new"] == [FILE_NAME]

    resumed = finished(arguments, env, tmp_path)

    assert STEPS // 2 <= resumed["metrics"]["resumed_at_step"] < STEPS
    assert figures(resumed) == figures(unbroken)
    assert not kept.exists()


def test_a_killed_command_that_publishes_goes_on_from_the_store(platform: Platform) -> None:
    env = platform.environment(**SETTINGS)
    prefix = f"{Layout(platform.collection).runs()}train-"
    arguments = command(platform.workdir, "--collection", platform.collection)

    def checkpoint() -> bytes | None:
        found = next(platform.store.list(prefix), None)
        try:
            return platform.store.get(found.key).data if found else None
        except ObjectNotFound:  # pragma: no cover - it has just ended
            pytest.fail("it ended too early to be killed")

    killed_at_half_time(arguments, env, platform.workdir, checkpoint)
    assert platform.registry().alias("champion") is None

    resumed = finished(arguments, env, platform.workdir)

    assert STEPS // 2 <= resumed["metrics"]["resumed_at_step"] < STEPS
    assert platform.registry().current().version == resumed["version"]
    assert not list(platform.store.list(prefix))
