"""Two processes that fit one model, as torchrun starts them, with gloo on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from producer.errors import ConfigurationError
from tests.tiny_model import tiny_pixels
from training.fit_settings import FitSettings, plan_steps
from training.team import Team, gathered, join, own_part

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "SHOAL_TRAINING__FIT__RECIPE": "pure",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[4, 8]",
    "SHOAL_TRAINING__FIT__BATCH_SIZE": "32",
    "SHOAL_TRAINING__FIT__MIN_STEPS": "30",
    "SHOAL_TRAINING__FIT__MAX_STEPS": "30",
    "SHOAL_TRAINING__FIT__DEVICE": "cpu",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}


def trained(folder: Path, out: str, n_processes: int) -> dict[str, object]:
    """Run the real command, alone or as torchrun does; gives its one JSON object."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    command = ["-m", "console.cli", "train", "x.npy", "--n-clusters", "3", "--out", out, "--json"]
    done = subprocess.run(
        [sys.executable, *(launcher if n_processes > 1 else []), *command],
        cwd=folder,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]  # of one process alone
    answer: dict[str, object] = json.loads(line)
    return answer


def test_two_processes_fit_one_model_that_only_one_writes_and_the_same_one_again(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", tiny_pixels(120))
    alone, first, again = (trained(tmp_path, out, n) for out, n in (("a", 1), ("b", 2), ("c", 2)))

    weights = [(tmp_path / out / "encoder.safetensors").read_bytes() for out in "abc"]
    assert weights[1] == weights[2]
    assert weights[0] != weights[1]  # other views, and batch norm over halves: not the same model, a like one
    losses = [answer["metrics"]["reconstruction"] for answer in (alone, first, again)]  # type: ignore[index]
    assert losses[1] == losses[2] == pytest.approx(losses[0], rel=0.25)
    assert not list(tmp_path.glob("*/.checkpoint*"))


def test_every_picture_of_a_step_goes_to_one_process() -> None:
    rows = np.random.default_rng(0).permutation(24)

    shares = [Team(rank, 3).share(rows) for rank in range(3)]

    assert [len(share) for share in shares] == [8, 8, 8]
    assert sorted(np.concatenate(shares)) == list(range(24))


def test_a_step_is_divided_evenly_and_never_into_too_little() -> None:
    assert plan_steps(1000, FitSettings(batch_size=100), 3).batch_size == 99
    with pytest.raises(ConfigurationError, match="batch_size"):
        plan_steps(1000, FitSettings(batch_size=16), 4)


def test_who_works_alone_joins_nobody_and_has_all() -> None:
    values = torch.arange(6).reshape(3, 2)

    assert join("cpu") is None
    assert torch.equal(own_part(gathered(values)), values)
