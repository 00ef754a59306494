"""Corpora of arrays: every row taken, resized where need be, anything else refused by name."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_store.preprocess import Preprocess
from producer.errors import ConfigurationError, TrainingFailed
from training.dataset import from_npy

SIDE = 8
PREPROCESS = Preprocess(input_size=SIDE)


def noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


def test_array_of_the_right_size_is_mapped_where_it_lies(tmp_path: Path) -> None:
    array = noise(0, (5, SIDE, SIDE, 3))

    corpus = from_npy(saved(tmp_path / "x.npy", array), PREPROCESS, tmp_path / "work")

    assert isinstance(corpus.pixels, np.memmap)
    assert np.array_equal(corpus.pixels, array)
    assert not (tmp_path / "work").exists()


def test_array_of_another_size_is_resized(tmp_path: Path) -> None:
    array = noise(0, (5, 12, 10, 3))

    corpus = from_npy(saved(tmp_path / "x.npy", array), PREPROCESS, tmp_path / "work")

    resized = Image.fromarray(array[4]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert corpus.pixels.shape == (5, SIDE, SIDE, 3)
    assert np.array_equal(corpus.pixels[4], np.asarray(resized))


def test_grey_array_gets_three_equal_channels(tmp_path: Path) -> None:
    array = noise(0, (5, SIDE, SIDE))

    corpus = from_npy(saved(tmp_path / "x.npy", array), PREPROCESS, tmp_path / "work")

    assert np.array_equal(corpus.pixels, array[..., None].repeat(3, axis=3))


def test_rows_of_an_array_keep_their_places(tmp_path: Path) -> None:
    array = np.zeros((4, SIDE, SIDE, 3), np.uint8)

    corpus = from_npy(saved(tmp_path / "x.npy", array), PREPROCESS, tmp_path / "work")

    assert corpus.names == ("0", "1", "2", "3")
    assert corpus.n_duplicates == 0


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), r"\(4, 8, 8, 3\), float32"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"\(4, 3, 8, 8\), uint8"),
        (np.zeros((4, 64), np.uint8), r"\(4, 64\), uint8"),
        (np.zeros((4, 0, 8, 3), np.uint8), r"\(4, 0, 8, 3\), uint8"),
    ],
)
def test_other_arrays_are_refused_with_what_was_found(
    tmp_path: Path, array: NDArray[np.generic], found: str
) -> None:
    with pytest.raises(ConfigurationError, match=found + r": expected is an \.npy file of \(N, H, W, 3\)"):
        from_npy(saved(tmp_path / "x.npy", array), PREPROCESS, tmp_path)


def test_files_that_are_no_array_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    (tmp_path / "text.npy").write_bytes(b"not an array")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)

    for name in ("several.npz", "text.npy", "empty.npy", "pickled.npy", "nowhere.npy"):
        with pytest.raises(ConfigurationError, match=name):
            from_npy(tmp_path / name, PREPROCESS, tmp_path)


def test_array_of_too_few_pictures_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="holds 0 pictures; at least 2"):
        from_npy(saved(tmp_path / "x.npy", np.zeros((0, 8, 8, 3), np.uint8)), PREPROCESS, tmp_path)
