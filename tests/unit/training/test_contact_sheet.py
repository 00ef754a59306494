"""The contact sheet shows every group in a row, whole and undistorted."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.contact_sheet import CELL, GAP, LABEL_WIDTH, MARGIN, ROW_GAP, contact_sheet

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def cell(sheet: Path, row: int, column: int) -> NDArray[np.uint8]:
    left = MARGIN + LABEL_WIDTH + column * (CELL + GAP)
    top = MARGIN + row * (CELL + ROW_GAP)
    with Image.open(sheet) as image:
        return np.asarray(image)[top : top + CELL, left : left + CELL]


def label(sheet: Path, row: int) -> NDArray[np.uint8]:
    top = MARGIN + row * (CELL + ROW_GAP)
    with Image.open(sheet) as image:
        return np.asarray(image)[top : top + CELL, :]


def test_each_group_has_a_row_and_each_picture_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    red, green = Image.new("RGB", (200, 200), RED), Image.new("RGB", (200, 200), GREEN)

    contact_sheet([("c_1", [red, green]), ("c_2", [green])], path)

    assert np.all(cell(path, 0, 0) == RED)
    assert np.all(cell(path, 0, 1) == GREEN)
    assert np.all(cell(path, 1, 0) == GREEN)
    assert np.all(cell(path, 1, 1) == WHITE)


def test_wide_picture_keeps_its_aspect(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet([("c_1", [Image.new("RGB", (400, 100), RED)])], path)

    red_rows = np.all(cell(path, 0, 0) == RED, axis=(1, 2))
    assert red_rows.sum() == CELL // 4
    assert not red_rows[0]
    assert not red_rows[-1]


def test_small_picture_is_enlarged_with_square_pixels(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)

    contact_sheet([("c_1", [Image.fromarray(noise)])], path)

    assert np.array_equal(cell(path, 0, 0), noise.repeat(CELL // 8, 0).repeat(CELL // 8, 1))


def test_no_row_has_more_columns_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet([("c_1", [Image.new("L", (50, 50))] * 9)], path, n_columns=4)

    with Image.open(path) as sheet:
        assert sheet.width == 2 * MARGIN + LABEL_WIDTH + 4 * (CELL + GAP) - GAP


@pytest.mark.parametrize("text", ["c_1", "c_1\n120 pictures", "a name far too long for its column " * 5, ""])
def test_label_is_written_beside_its_row_and_never_over_the_pictures(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet([(text, [Image.new("RGB", (100, 100), RED)])], path)

    strip = label(path, 0)[:, : MARGIN + LABEL_WIDTH]
    assert (strip[:, MARGIN : MARGIN + LABEL_WIDTH - GAP] < 128).any() == bool(text)
    assert np.all(strip[:, MARGIN + LABEL_WIDTH - GAP :] == 255)
    assert np.all(cell(path, 0, 0) == RED)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_can_be_shown(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet([("c_1", [Image.new(mode, (60, 60))])], path)

    assert cell(path, 0, 0).shape == (CELL, CELL, 3)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet([("c_1", [Image.new("RGBA", (CELL, CELL), (*RED, 0))])], path)

    assert np.all(cell(path, 0, 0) == WHITE)


@pytest.mark.parametrize("groups", [[], [("empty", [])]])
def test_nothing_to_show_is_still_a_picture(
    tmp_path: Path, groups: list[tuple[str, list[Image.Image]]]
) -> None:
    path = tmp_path / "sheet.png"

    contact_sheet(groups, path)

    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
