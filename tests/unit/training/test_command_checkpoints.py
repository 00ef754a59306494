from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from model_store.object_store import MemoryStore
from training.checkpoint import FitState, TimedCheckpoints
from training.command_checkpoints import FILE_NAME, STALE, FileCheckpoints, StoreCheckpoints


class Places:
    """Gives the checkpoints of one more command in the same place."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.store = kind, folder, MemoryStore()

    def command(self) -> TimedCheckpoints:
        if self.kind == "file":
            return FileCheckpoints(self.folder / "out", every_s=0)
        return StoreCheckpoints(self.store, "default", every_s=0)

    def kept(self) -> int:
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return len(files) + len(list(self.store.list()))


@pytest.fixture(params=["file", "store"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    return Places(request.param, tmp_path)


def left_by_a_command(places: Places, purpose: str) -> None:
    checkpoints = places.command()
    assert checkpoints.load(purpose) is None
    checkpoints.save(FitState({"x": torch.tensor([1])}, {}))
    checkpoints.save(FitState({"x": torch.tensor([2])}, {}))


def test_the_same_command_finds_the_latest_state_of_the_one_before(places: Places) -> None:
    left_by_a_command(places, "corpus and settings")

    state = places.command().load("corpus and settings")

    assert state is not None
    assert state.tensors["x"].item() == 2
    assert places.kept() == 1


def test_a_command_on_another_corpus_does_not_find_it(places: Places) -> None:
    left_by_a_command(places, "corpus and settings")

    assert places.command().load("another corpus") is None


def test_nothing_is_left_once_the_model_is_there(places: Places) -> None:
    left_by_a_command(places, "corpus and settings")

    again = places.command()
    again.load("corpus and settings")
    again.clear()

    assert places.kept() == 0


def test_a_state_that_was_half_written_when_the_command_was_killed_does_not_count(tmp_path: Path) -> None:
    places = Places("file", tmp_path)
    left_by_a_command(places, "a")
    (tmp_path / "out" / f"{FILE_NAME}.new").write_bytes(b"half")

    state = places.command().load("a")

    assert state is not None
    places.command().clear()
    assert places.kept() == 0


def test_what_nobody_came_back_for_is_removed_after_a_week_and_not_before(tmp_path: Path) -> None:
    places = Places("store", tmp_path)
    for purpose in ("given up", "given up lately"):
        left_by_a_command(places, purpose)
    [old, young] = [info.key for info in places.store.list()]
    places.store._modified_at[old] = datetime.now(UTC) - STALE - timedelta(minutes=1)

    places.command().clear()

    assert [info.key for info in places.store.list()] == [young]


def test_a_full_disk_costs_a_checkpoint_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder would have to be")
    checkpoints = FileCheckpoints(tmp_path / "out", every_s=0)

    checkpoints.save(FitState({"x": torch.tensor([1])}, {}))

    assert checkpoints.load("a") is None
