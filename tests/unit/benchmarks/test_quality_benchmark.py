"""The table of qualities: what it goes on with, what it divides, what it brings together."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.notebook_pipeline import NotebookAutoencoder, fit_notebook, latents, notebook_clusters
from benchmarks.quality_cells import Cell, CellsFile, measure
from benchmarks.quality_methods import Methods
from benchmarks.quality_sets import LabelledSet, read_sets
from tests.tiny_model import tiny_pixels
from tests.unit.training.one_trunk import random_trunk
from training.fit_settings import Plan

ABOUT: dict[str, Any] = {"seconds": 1.0, "commit": "abc"}


@pytest.fixture
def digits(tmp_path: Path) -> LabelledSet:
    return next(read_sets(["digits"], tmp_path, None, 32, tmp_path))


def test_cells_that_a_file_has_are_not_measured_again(
    tmp_path: Path, digits: LabelledSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, measured = [Cell("digits", "raw", seed) for seed in range(3)], list[Cell]()

    def counted(cell: Cell, *_: Any) -> dict[str, Any]:
        measured.append(cell)
        return dict(ABOUT)

    monkeypatch.setattr(quality, "measure", counted)
    path = tmp_path / "cells.jsonl"
    CellsFile(path).add(cells[0], dict(ABOUT))
    with path.open("a") as file:
        file.write('{"cell": {"set": "digits", "me')  # killed while it wrote
    quality.run(cells, {"digits": digits}, CellsFile(path), Methods(1, "cpu"))
    assert measured == cells[1:]
    assert list(CellsFile(path).done) == cells


def test_cells_of_other_steps_or_a_cut_are_others(tmp_path: Path) -> None:
    file = CellsFile(tmp_path / "cells.jsonl")
    file.add(Cell("digits", "raw", 0, steps=6), dict(ABOUT))
    assert Cell("digits", "raw", 0) not in file.done


def test_no_new_picture_was_trained_on_and_a_kind_left_out_is_nowhere(digits: LabelledSet) -> None:
    assert len(digits.new) == round(0.2 * len(digits.pixels))
    assert not np.isin(digits.new, digits.train).any()
    fewer = digits.without("3")
    assert "3" not in {str(digits.labels[row]) for row in np.union1d(fewer.train, fewer.scored)}
    assert len(fewer.kinds) == 9
    assert len(digits.of("3")) == (digits.labels == 3).sum()


def test_arrays_of_ones_own_are_trained_on_without_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = (tmp_path / "trainX.npy", tmp_path / "valX.npy", tmp_path / "valY.npy")
    for file, n in zip(files[:2], (30, 10), strict=True):
        np.save(file, rng.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8))
    np.save(files[2], np.arange(10) % 2)
    own = next(read_sets(["npy"], tmp_path, files, 32, tmp_path))
    assert own.kinds == ["0", "1"]
    assert own.train.tolist() == list(range(30))
    assert own.new.tolist() == list(range(30, 40))
    np.testing.assert_array_equal(own.pixels[own.new], np.load(files[1]))


def test_a_kind_unlike_all_others_is_flagged_and_the_others_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["dark", "light", "odd"], 200)
    pixels = rng.integers(100, 110, (600, 32, 32, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, {"dark": slice(0, 10), "light": slice(10, 20), "odd": slice(20, 30)}[str(label)]] += 100
    rows = np.arange(600)
    pictures = LabelledSet("drawn", pixels, labels, rows[rows % 5 > 0], rows)
    found = measure(Cell("drawn", "raw", 0, absent="odd"), pictures, Methods(1, "cpu"))
    assert found["flagged"] == 1
    assert found["false_alarms"] < 0.2
    assert found["accuracy"] == found["placed_new"] == found["refit_new"] == 1


def test_the_encoder_of_pretrained_is_asked_once_for_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, pixels = random_trunk(monkeypatch), tiny_pixels(6)
    methods, seen = Methods(1, "cpu"), list[int]()
    first = methods("pretrained", pixels, np.arange(4), np.arange(4, 6), 0)
    assert first.network is not None
    assert first.network[1] == 32
    monkeypatch.setattr(type(trunk), "forward", _counted(seen, type(trunk).forward))
    embeddings = first.embed(pixels)
    again = methods("pretrained", pixels, np.arange(3), np.arange(3, 6), 1).embed(pixels)
    assert sum(seen) == len(pixels)
    np.testing.assert_array_equal(embeddings, again)


def _counted(seen: list[int], forward: Callable[..., Any]) -> Callable[..., Any]:
    def counting(trunk: Any, images: Any) -> Any:
        seen.append(len(images))
        return forward(trunk, images)

    return counting


def test_the_notebook_learns_to_draw_and_names_clusters() -> None:
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(0, 255, (2, 1, 1, 3)), 20, axis=0) + np.zeros((40, 32, 32, 3))
    drawn = pixels.astype(np.uint8)
    network = fit_notebook(drawn, Plan(batch_size=20, steps_per_epoch=10, n_epochs=1), 0)
    encoded = latents(network, drawn)
    assert encoded.shape == (40, 4096)
    assert len(latents(NotebookAutoencoder().eval(), drawn[:1])) == 1
    clusters = notebook_clusters(encoded, 2, 0)
    assert (clusters[:20] == clusters[0]).all()
    assert (clusters[20:] == 1 - clusters[0]).all()


def test_the_table_shows_median_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [Cell("digits", "raw", seed) for seed in range(3)]
    file = CellsFile(None)
    for cell, accuracy in zip(cells, (0.9, 0.5, 0.6), strict=True):
        figures = ABOUT | {"accuracy": accuracy, "refit_new": 0.7, "placed_new": 0.6}
        file.add(cell, figures | dict.fromkeys(quality.COSTS, 1))
    rows = quality.summary(cells, file)
    quality.print_tables(rows)
    assert rows[0]["accuracy"] == [0.6, 0.5, 0.9]
    assert "| digits | raw | 3 | 0.600 (0.500 to 0.900) |" in capsys.readouterr().out
    assert rows[0]["lost_by_placing"] == [0.1, 0.1, 0.1]


def test_seeds_come_one_after_another_and_kinds_left_out_last(digits: LabelledSet) -> None:
    asked = Namespace(
        seeds=2, methods=["raw", "notebook"], absent=["digits"], steps=None, limit=None, side=64
    )
    cells = quality.planned([digits], asked)
    assert [(cell.method, cell.seed) for cell in cells[:4]] == [
        ("raw", 0),
        ("notebook", 0),
        ("raw", 1),
        ("notebook", 1),
    ]
    assert {cell.side for cell in cells} == {64}
    assert {(cell.method, cell.absent) for cell in cells[4:]} == {("raw", str(kind)) for kind in range(10)}
