"""Files that promise or hold too much are refused at once, and honest ones are not."""

import struct
import time
import zlib

import pytest
from PIL import Image

from model_store import decode as decode_module
from model_store.decode import DecodeLimits, Picture, Undecodable, decode
from model_store.preprocess import Preprocess
from producer.contracts import ErrorCode
from tests.unit.model_store.picture_files import (
    EVERY_FORMAT,
    chunk,
    encode,
    jpeg_with,
    lying_jpeg,
    noise,
    png_with,
    scan_bomb,
    segment,
)

PREPROCESS = Preprocess(input_size=16)
LIMITS = DecodeLimits()


def refusal(data: bytes, limits: DecodeLimits = LIMITS) -> Undecodable:
    outcome = decode(data, PREPROCESS, limits)
    assert isinstance(outcome, Undecodable)
    return outcome


def code(data: bytes, limits: DecodeLimits = LIMITS) -> ErrorCode:
    return refusal(data, limits).code


HUGE = {
    "PNG header": png_with()[:16] + struct.pack(">II", 50_000, 50_000) + png_with()[24:],
    "JPEG header": lying_jpeg(60_000, 60_000),
    "GIF screen": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + encode(noise(), "GIF")[10:],
    "GIF frame over its screen": b"GIF89a\x01\x00\x01\x00\x00\x00\x00,"
    + struct.pack("<4H", 65_000, 65_000, 65_535, 65_535)
    + b"\x00\x02\x02\x44\x01\x00;",
    "WebP canvas": b"RIFF\xff\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00"
    + b"\xff\x3f\x00" * 2
    + b"ALPH",
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE.keys())
def test_huge_pictures_are_refused_before_pillow_sees_them(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "_OPENERS", {})

    assert code(data) == "decode.too_many_pixels"


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_huge_pictures_of_other_formats_are_refused_before_loading(kind: str) -> None:
    data = encode(noise(), kind)
    at = data.index(struct.pack("<I", 64), 14 if kind == "BMP" else data.index(b"\x01\x01\x04\x00"))
    swollen = bytearray(data)
    struct.pack_into("<I", swollen, at, 10_000_000)

    assert code(bytes(swollen), EVERY_FORMAT) == "decode.too_many_pixels"


def test_limit_of_pixels_is_inclusive() -> None:
    data = encode(noise(), "PNG")

    assert isinstance(decode(data, PREPROCESS, DecodeLimits(max_pixels=64 * 64)), Picture)
    assert code(data, DecodeLimits(max_pixels=64 * 64 - 1)) == "decode.too_many_pixels"


@pytest.mark.parametrize(
    ("width", "height", "limits"),
    [(201, 2, LIMITS), (2, 201, LIMITS), (1, 150, LIMITS), (40, 30, DecodeLimits(max_side=39))],
)
def test_narrow_and_long_pictures_have_bad_dimensions(width: int, height: int, limits: DecodeLimits) -> None:
    assert code(encode(Image.new("RGB", (width, height)), "PNG"), limits) == "decode.bad_dimensions"


def test_picture_without_area_has_bad_dimensions() -> None:
    assert code(lying_jpeg(64, 0)) == "decode.bad_dimensions"


def test_scan_bomb_is_refused_at_once() -> None:
    data = scan_bomb(2000)
    start = time.process_time()

    assert code(data) == "decode.too_many_scans"
    assert time.process_time() - start < 0.5


def test_usual_progressive_jpeg_is_not_a_scan_bomb() -> None:
    outcome = decode(encode(noise(), "JPEG", progressive=True), PREPROCESS, LIMITS)

    assert isinstance(outcome, Picture)


def test_what_looks_like_a_scan_in_metadata_or_behind_the_end_is_not_counted() -> None:
    fakes = b"\xff\xda\x00\x08" * 200
    data = jpeg_with(segment(0xE1, b"Exif\x00\x00" + fakes), segment(0xFE, fakes)) + fakes

    assert isinstance(decode(data, PREPROCESS, LIMITS), Picture)


def test_jpeg_that_cannot_hold_its_promised_pixels_is_corrupt() -> None:
    found = refusal(lying_jpeg(4000, 4000))

    assert found.code == "decode.corrupt"
    assert "4000 x 4000" in found.detail


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"optimize": True, "progressive": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_emptiest_honest_jpeg_is_not_taken_for_a_liar(mode: str, options: dict[str, bool]) -> None:
    data = encode(Image.new(mode, (3000, 3000)), "JPEG", quality=10, subsampling=2, **options)

    assert isinstance(decode(data, PREPROCESS, LIMITS), Picture)


BOMB = zlib.compress(bytes(1_000_000), 9)


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"Comment\x00\x00" + BOMB),
        chunk(b"iTXt", b"Comment\x00\x01\x00\x00\x00" + BOMB),
        chunk(b"iCCP", b"profile\x00\x00" + BOMB),
        chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(50_000_000), 9)),
    ],
    ids=["zTXt", "iTXt", "iCCP", "one of 50 MB"],
)
def test_png_text_and_profile_bombs_are_not_unpacked(bomb: bytes) -> None:
    data = png_with(*[bomb] * 1000)
    start = time.process_time()

    assert isinstance(decode(data, PREPROCESS, LIMITS), Picture)
    assert time.process_time() - start < 0.5


MANY = {
    "JPEG comments": jpeg_with(segment(0xFE) * 2_000_000),
    "JPEG restarts": jpeg_with(b"\xff\xd0" * 2_000_000),
    "PNG chunks": png_with(chunk(b"tEXt") * 500_000),
    "GIF blocks": b"GIF89a\x01\x00\x01\x00\x00\x00\x00" + b"!\xfe" + b"\x01a" * 2_000_000 + b"\x00;",
    "GIF junk": b"GIF89a\x01\x00\x01\x00\x00\x00\x00" + bytes(2_000_000),
}


@pytest.mark.parametrize("data", MANY.values(), ids=MANY.keys())
def test_millions_of_tiny_parts_are_corrupt_and_cost_little(data: bytes) -> None:
    start = time.process_time()

    assert code(data) == "decode.corrupt"
    assert time.process_time() - start < 0.5


def test_many_segments_between_scans_cost_little() -> None:
    bomb = scan_bomb(100)
    second = bomb.index(b"\xff\xda", bomb.index(b"\xff\xda") + 2)
    data = bomb[:second] + segment(0xFE) * 2_000_000 + bomb[second:]
    start = time.process_time()

    assert code(data) == "decode.too_many_scans"
    assert time.process_time() - start < 0.5
