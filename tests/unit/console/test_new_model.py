from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from console.new_model import NewModel, Promotion, _promoted, into_folder
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.errors import BundleInvalid
from tests.tiny_model import TinyBundle, exchange_manifest, tiny_pixels
from tests.unit.training.one_run import TRAINING
from training.checkpoint import FitState
from training.command_checkpoints import FILE_NAME
from training.progress import Silent
from training.promotion import Verdict
from training.settings import Settings
from training.trained import Trained

NEVER = -1
pytestmark = pytest.mark.usefixtures("one_thread")


class StoppedAt(Silent):
    """Somebody presses Ctrl-C once so many steps of the fit are done."""

    def __init__(self, step: int) -> None:
        self.step, self.name, self.notes = step, "", list[str]()

    def stage(self, name: str, total: int | None = None) -> None:
        self.name = name

    def advance(self, done: int, total: int | None = None) -> None:
        if self.name == "train" and done == self.step:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(folder: Path, progress: StoppedAt, checkpoint_every_s: float = 0) -> NewModel:
    np.save(folder / "x.npy", tiny_pixels(60))
    settings = Settings.model_validate({"training": {**TRAINING, "checkpoint_every_s": checkpoint_every_s}})
    (folder / "work").mkdir(exist_ok=True)
    return into_folder(folder / "x.npy", "default", settings, folder / "work", progress, folder / "out")


def stopped(folder: Path, step: int, checkpoint_every_s: float) -> str:
    """Train until then; give what was said last."""
    progress = StoppedAt(step)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, progress, checkpoint_every_s)
    return progress.notes[-1]


def test_a_training_that_is_stopped_by_hand_says_whether_the_same_command_goes_on(tmp_path: Path) -> None:
    assert "stopped before its first checkpoint" in stopped(tmp_path, 2, 3600)
    assert "its last checkpoint is kept, from which the same command goes on" in stopped(tmp_path, 3, 0)
    found = stopped(tmp_path, 3, 3600)  # that of the one before, and no step of its own
    assert "its last checkpoint is kept" in found


def test_the_seconds_of_a_training_that_went_on_are_those_of_all_its_parts(tmp_path: Path) -> None:
    stopped(tmp_path, 3, 0)
    kept = tmp_path / "out" / FILE_NAME
    state = FitState.from_bytes(kept.read_bytes())
    kept.write_bytes(FitState(state.tensors, {**state.facts, "seconds": 5000.0}).to_bytes())
    progress = StoppedAt(NEVER)

    metrics = trained(tmp_path, progress).trained.manifest.metrics

    assert 5000 < metrics["train_s"] < 6000
    assert any(" epochs in 50" in note for note in progress.notes)


def test_a_manifest_exchanged_after_it_was_published_is_not_promoted(
    store: MemoryStore, registry: Registry, tiny_bundle: TinyBundle
) -> None:
    target = registry.publish(*tiny_bundle)
    model = NewModel(mock.create_autospec(Trained), Verdict(promote=True, gates=()))

    with pytest.raises(BundleInvalid, match="is not the one that was promoted"):
        _promoted(model, registry, target, None, Promotion(), lambda: exchange_manifest(store))

    assert registry.alias("champion") is None
