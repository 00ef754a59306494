import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.tiny_model import tiny_pixels
from training.near_duplicates import MAX_IN_BAND, NearDuplicates

Pixels = NDArray[np.uint8]


def photograph(seed: int) -> Image.Image:
    """Draw soft colours, large, so that there is something to lose in a smaller or poorer copy."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((240, 240), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX))


def poorer(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=25)
    return Image.open(file)


def test_a_smaller_or_poorer_copy_is_a_near_duplicate() -> None:
    known = NearDuplicates()
    for seed in range(20):
        assert not known.seen(pixels(photograph(seed)))

    for seed in range(20):
        assert known.seen(pixels(poorer(photograph(seed))))
        assert known.seen(pixels(photograph(seed).resize((90, 90))))


def test_different_pictures_are_kept() -> None:
    known = NearDuplicates()

    assert not any(known.seen(pixels(photograph(seed))) for seed in range(200))


def test_pictures_of_a_kind_with_noise_of_their_own_are_kept() -> None:
    known = NearDuplicates()

    assert not any(known.seen(picture) for picture in tiny_pixels(90))


@pytest.mark.parametrize("place", [4, 12, 20])
def test_flat_pages_that_differ_in_one_stroke_are_different_pictures(place: int) -> None:
    def page(x: int, y: int) -> Pixels:
        image = Image.new("RGB", (32, 32), "black")
        ImageDraw.Draw(image).line((x, y, x + 8, y + 8), "white", 3)
        return np.asarray(image)

    known = NearDuplicates()
    known.seen(page(place, 4))

    assert not known.seen(page(place, 20))


def test_a_crowd_of_pictures_with_equal_bits_is_bounded_work() -> None:
    known = NearDuplicates()
    flat = [np.full((32, 32, 3), grey, np.uint8) for grey in range(0, 256, 5)]

    for picture in flat * 3:
        known.seen(picture)

    assert len(known._hashes) <= len(flat) * 3
    assert known._in_band.max() <= MAX_IN_BAND


def test_many_are_remembered_in_a_file_as_few_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.room.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("training.near_duplicates.LEAST_ROOM", 4)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    known = NearDuplicates(tmp_path)

    first = [known.seen(picture) for picture in pictures]
    again = [known.seen(picture) for picture in pictures]

    assert not any(first)
    assert all(again)
    assert list(tmp_path.iterdir()) == []  # a file without a name
