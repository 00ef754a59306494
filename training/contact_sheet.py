"""A picture of a clustering: one row of thumbnails per cluster."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL = 96  # pixels, as are all of these; 8, 16, 32 and 48 divide it
GAP = 6
ROW_GAP = 16
MARGIN = 28
LABEL_WIDTH = 148
FIRST_LINE, OTHER_LINES = 16, 13
INK, FAINT_INK, RULE, PAPER, BLANK = "#1f2328", "#6e7781", "#e6e8eb", "#ffffff", "#f3f4f6"

Group = tuple[str, Sequence[Image.Image]]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(groups: Sequence[Group], path: Path, *, n_columns: int = 12) -> None:
    """Write a PNG with one row per group: its label, then its first pictures.

    Args:
        groups: label and pictures, any sizes and modes. The label's first line is set large, for the
            name, the others small and grey, for sizes and the like; all are cut to the column's width.
        path: the PNG; its folder is made if need be.
        n_columns: at most so many pictures per row.
    """
    columns = min(n_columns, max((len(pictures) for _, pictures in groups), default=0))
    width = 2 * MARGIN + LABEL_WIDTH + columns * (CELL + GAP) - GAP
    height = 2 * MARGIN + max(1, len(groups)) * (CELL + ROW_GAP) - ROW_GAP
    sheet = Image.new("RGB", (max(width, 2 * MARGIN + LABEL_WIDTH), height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (label, pictures) in enumerate(groups):
        top = MARGIN + row * (CELL + ROW_GAP)
        if row:
            draw.line((MARGIN, top - ROW_GAP // 2, sheet.width - MARGIN, top - ROW_GAP // 2), RULE)
        _write(draw, label, top)
        for column, picture in enumerate(pictures[:n_columns]):
            sheet.paste(_thumbnail(picture), (MARGIN + LABEL_WIDTH + column * (CELL + GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG", optimize=True)


def _write(draw: ImageDraw.ImageDraw, label: str, top: int) -> None:
    lines = list(_lines(label))
    y = top + (CELL - sum(pitch for *_, pitch in lines)) / 2
    for text, font, ink, pitch in lines:
        draw.text((MARGIN, y + pitch / 2), _cut(text, font), ink, font, anchor="lm")
        y += pitch


def _lines(label: str) -> Iterator[tuple[str, Font, str, float]]:
    """Give each line of a label its font, its ink and its height."""
    for number, text in enumerate(label.split("\n")):
        size, ink = (OTHER_LINES, FAINT_INK) if number else (FIRST_LINE, INK)
        yield text, ImageFont.load_default(size), ink, size * 1.35


def _cut(text: str, font: Font) -> str:
    room = LABEL_WIDTH - 3 * GAP
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _thumbnail(picture: Image.Image) -> Image.Image:
    """Fit a picture into a square cell, whole, with its aspect kept."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        flat = Image.new("RGBA", picture.size, PAPER)
        flat.alpha_composite(picture)
        picture = flat
    picture = picture.convert("RGB")
    enlarged = CELL // max(picture.size)
    if enlarged >= 2:  # by a whole number, so that the pixels of small ones stay square
        fitted = ImageOps.scale(picture, enlarged, Image.Resampling.NEAREST)
    else:
        fitted = ImageOps.contain(picture, (CELL, CELL), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (CELL, CELL), BLANK)
    cell.paste(fitted, ((CELL - fitted.width) // 2, (CELL - fitted.height) // 2))
    return cell
