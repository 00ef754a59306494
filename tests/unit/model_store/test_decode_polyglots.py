"""Files that are two things at once are what their first bytes say; of many frames only the first is read."""

import functools
import io
import time
import zipfile
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_store.containers import Format
from model_store.decode import Picture, Undecodable, decode
from model_store.preprocess import Preprocess
from tests.unit.model_store.picture_files import (
    EVERY_FORMAT,
    chunk,
    encode,
    jpeg_with,
    noise,
    png_with,
    segment,
)

PREPROCESS = Preprocess(input_size=16)
READERS: tuple[type[ImageFile], ...] = (
    GifImageFile, PngImageFile, WebPImageFile, TiffImageFile, AvifImageFile, MpoImageFile,
)  # fmt: skip
RED, GREEN = (255, 0, 0), (0, 255, 0)
SCRIPT = b"<script>alert(1)</script><?php system('id'); ?>"


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Main-Class: Evil")
    return buffer.getvalue()


def picture(data: bytes) -> Picture:
    outcome = decode(data, PREPROCESS, EVERY_FORMAT)
    assert isinstance(outcome, Picture), outcome
    return outcome


TAILS = {
    "zip": archive(),
    "PDF": b"%PDF-1.4\n%%EOF",
    "script": SCRIPT,
    "another picture": encode(Image.new("RGB", (9, 9), GREEN), "GIF"),
    "a megabyte of nothing": bytes(1_000_000),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_what_hangs_on_a_picture_changes_nothing(kind: Format, tail: bytes) -> None:
    data = encode(noise(), kind)

    found = picture(data + tail)

    assert found.format == kind
    assert np.array_equal(found.pixels, picture(data).pixels)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with(segment(0xFE, b"*/=1;alert(1)/*"), segment(0xE2, b"ICC_PROFILE\x00" + SCRIPT)),
        png_with(chunk(b"tEXt", b"Comment\x00" + SCRIPT), chunk(b"iTXt", SCRIPT)),
    ],
    ids=["JPEG that is JavaScript", "PNG that is HTML"],
)
def test_what_hides_in_metadata_changes_nothing(data: bytes) -> None:
    plain = encode(noise(), "JPEG" if data[0] == 0xFF else "PNG")

    assert np.array_equal(picture(data).pixels, picture(plain).pixels)


@pytest.mark.parametrize("inside", ["PNG", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"GIF89a", b"BM", b"%PDF-1.4\n", b"PK\x03\x04", b"<svg>"])
def test_a_picture_behind_the_start_of_another_kind_is_not_found(start: bytes, inside: str) -> None:
    outcome = decode(start + encode(noise(), inside), PREPROCESS, EVERY_FORMAT)

    assert isinstance(outcome, Undecodable)
    assert outcome.code in ("decode.unsupported", "decode.corrupt", "decode.too_many_pixels")


def test_the_thumbnail_inside_a_jpeg_is_not_the_picture() -> None:
    thumbnail = encode(Image.new("RGB", (8, 8), GREEN), "JPEG")
    data = encode(Image.new("RGB", (64, 64), RED), "JPEG", quality=95)

    found = picture(data[:2] + segment(0xE1, b"Exif\x00\x00II*\x00" + thumbnail) + data[2:])

    assert (found.width, found.height) == (64, 64)
    assert np.abs(found.pixels.astype(int) - RED).max() <= 4


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_number_of_frames_is_never_asked_and_no_second_one_sought(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> NoReturn:
        raise AssertionError("counting frames reads the whole file, and each may be a bomb")

    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    # where it is a search; elsewhere the header tells
    monkeypatch.setattr(GifImageFile, "n_frames", property(asked))
    monkeypatch.setattr(TiffImageFile, "n_frames", property(asked))
    for reader in READERS:
        first = functools.partialmethod(first_only, reader.seek, asked)
        monkeypatch.setattr(reader, "seek", first)

    found = picture(data)

    assert np.abs(found.pixels.astype(int) - RED).max() <= 8


def first_only(
    self: ImageFile, seek: Callable[[ImageFile, int], None], asked: Callable[[], NoReturn], frame: int
) -> None:
    if frame:
        asked()
    seek(self, frame)


def test_thousands_of_frames_cost_no_more_than_one() -> None:
    one = encode(Image.new("L", (500, 500)), "GIF")
    frame = one[one.index(b",") : -1]
    data = one[:-1] + frame * 20_000 + b";"
    started = time.process_time()

    found = picture(data)

    assert (found.width, found.height) == (500, 500)
    assert time.process_time() - started < 0.5
