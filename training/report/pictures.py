"""Pictures of the corpus, for the page and for sheets of PNG; each PNG names those that it shows.

The names are what an erasure goes by: it drops whatever names an erased picture (`model_store.forgetting`).
"""

import base64
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from model_store.counted import counted
from training.fit import embed
from training.predecessor import by_hash
from training.report.findings import Findings
from training.report.palette import INK, PAPER, SOFT
from training.report.subject import Subject
from training.room import take

SHOWS: Final = "shows"  # the PNG's text field
CELL, GAP, MARGIN, TEXT = 72, 4, 20, 150  # pixels
JPEG_QUALITY: Final = 92

Pixels = NDArray[np.uint8]


def data_uri(pixels: Pixels) -> str:
    """Give a picture (H, W, 3) as what an `img` shows."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


class Reconstructed:
    """Held-out pictures beside what the decoder makes of their embeddings, the best drawn first."""

    def __init__(self, subject: Subject, at_most: int) -> None:
        """Draw a fixed sample of the pictures; those held out, if it is known which they are."""
        names = subject.corpus.names
        rows = subject.held_out if len(subject.held_out) else np.arange(len(names))
        chosen = rows[by_hash([names[int(row)] for row in rows], "reconstruction")[:at_most]]
        originals = take(subject.corpus.pixels, np.sort(chosen))
        drawn = _decoded(subject, originals)
        errors = np.square((drawn.astype(np.float32) - originals) / 255).mean(axis=(1, 2, 3))
        order = np.argsort(errors, kind="stable")
        self.rows: NDArray[np.intp] = np.sort(chosen)[order]
        self.originals: Pixels = originals[order]  # (M, S, S, 3)
        self.drawn: Pixels = drawn[order]
        self.errors: NDArray[np.float32] = errors[order]  # mean squared, of pixels in [0, 1]

    def png(self, names: Sequence[str]) -> bytes:
        """Draw a sheet: originals above, reconstructions below."""
        per_line = 8
        lines = max(1, -(-len(self.rows) // per_line))
        sheet = Image.new("RGB", (_width(per_line), 2 * MARGIN + lines * (2 * (CELL + GAP) + 12) - 12), PAPER)
        for at, pair in enumerate(zip(self.originals, self.drawn, strict=True)):
            x = MARGIN + at % per_line * (CELL + GAP)
            for below, pixels in enumerate(pair):
                y = MARGIN + at // per_line * (2 * (CELL + GAP) + 12) + below * (CELL + GAP)
                sheet.paste(_cell(pixels), (x, y))
        return png(sheet, [names[int(row)] for row in self.rows])


def sheets_png(subject: Subject, findings: Findings, labels: Sequence[str], at_most: int) -> bytes:
    """Draw the contact sheets of the largest clusters: a line each of typical, borderline and outlying.

    Args:
        subject: whose pictures.
        findings: which of them.
        labels: (K,), what is written beside each of `findings.groups`; what the font lacks is left out.
        at_most: so many clusters.
    """
    groups = findings.groups[:at_most]
    per_line = max((len(row) for group in groups for row in group.lines.values()), default=1)
    pitch = 3 * (CELL + GAP) + 18
    sheet = Image.new("RGB", (TEXT + _width(per_line), 2 * MARGIN + len(groups) * pitch - 18), PAPER)
    draw = ImageDraw.Draw(sheet)
    names: list[str] = []
    for at, (group, label) in enumerate(zip(groups, labels, strict=False)):
        y = MARGIN + at * pitch
        draw.text((MARGIN, y), label, INK, ImageFont.load_default(16))
        draw.text((MARGIN, y + 24), counted(group.size, "picture"), SOFT, ImageFont.load_default(12))
        for below, (kind, rows) in enumerate(group.lines.items()):
            top = y + below * (CELL + GAP)
            draw.text(
                (TEXT + MARGIN - 8, top + CELL / 2), kind, SOFT, ImageFont.load_default(11), anchor="rm"
            )
            for column, (row, pixels) in enumerate(zip(rows, take(subject.corpus.pixels, rows), strict=True)):
                x = TEXT + MARGIN + column * (CELL + GAP)
                sheet.paste(_cell(pixels), (x, top))
                names.append(subject.corpus.names[int(row)])
    return png(sheet, names)


def png(picture: Image.Image, names: Sequence[str]) -> bytes:
    """Write a PNG that names the pictures it shows."""
    shown, file = PngInfo(), io.BytesIO()
    # blanks around them: an id counts only as a whole word, and what follows the field is any byte
    shown.add_text(SHOWS, f" {' '.join(dict.fromkeys(names))} ")
    picture.save(file, "PNG", pnginfo=shown)
    return file.getvalue()


def _decoded(subject: Subject, pixels: Pixels) -> Pixels:
    embeddings = embed(subject.encoder, pixels, device=subject.device)
    subject.decoder.cpu().eval()
    with torch.inference_mode():
        images = subject.decoder(torch.from_numpy(embeddings))  # (M, 3, S, S) in (0, 1)
    flat = (images * 255).round().to(torch.uint8)
    return np.ascontiguousarray(flat.permute(0, 2, 3, 1).numpy())


def _cell(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)


def _width(per_line: int) -> int:
    return 2 * MARGIN + per_line * (CELL + GAP) - GAP
