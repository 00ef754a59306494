"""Every colour model gives the colours that a browser would show: CMYK, 16 bit, palettes, alpha on white."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_store.decode import Picture, decode
from model_store.preprocess import Preprocess
from tests.unit.model_store.picture_files import EVERY_FORMAT, encode, png

SIDE = 16
PREPROCESS = Preprocess(input_size=SIDE)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(data: bytes) -> Picture:
    outcome = decode(data, PREPROCESS, EVERY_FORMAT)
    assert isinstance(outcome, Picture), outcome
    assert outcome.pixels.shape == (SIDE, SIDE, 3)
    assert outcome.pixels.dtype == np.uint8
    return outcome


def pixels(data: bytes) -> NDArray[np.uint8]:
    return picture(data).pixels


def only_colour(data: bytes) -> tuple[int, ...]:
    colours = np.unique(pixels(data).reshape(-1, 3), axis=0)
    assert len(colours) == 1, colours
    return tuple(int(level) for level in colours[0])


def test_cmyk_jpeg_as_adobe_writes_it_has_its_colours() -> None:
    data = encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in data

    assert np.abs(np.subtract(only_colour(data), RED)).max() <= 2


def test_cmyk_jpeg_keeps_its_black() -> None:
    data = encode(Image.new("CMYK", (32, 32), (0, 0, 0, 191)), "JPEG", quality=100)

    assert np.abs(np.subtract(only_colour(data), (64, 64, 64))).max() <= 2


def test_jpeg_that_only_its_adobe_segment_calls_rgb_has_its_colours() -> None:
    data = encode(Image.new("RGB", (32, 32), (10, 200, 30)), "JPEG", quality=100, keep_rgb=True)
    nameless = data.replace(b"R\x11\x00G\x11\x00B\x11\x00", b"\x01\x11\x00\x02\x11\x00\x03\x11\x00")
    nameless = nameless.replace(b"R\x00G\x00B\x00", b"\x01\x00\x02\x00\x03\x00")

    assert nameless != data
    assert np.abs(np.subtract(only_colour(nameless), (10, 200, 30))).max() <= 2


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 0), (128 * 257, 128), (65535, 255)])
def test_16_bit_grey_is_scaled_not_clipped(value: int, expected: int) -> None:
    image = Image.fromarray(np.full((20, 20), value, np.uint16))

    assert only_colour(encode(image, "PNG")) == (expected,) * 3
    assert only_colour(encode(image, "TIFF")) == (expected,) * 3


def test_16_bit_rgb_is_scaled() -> None:
    row = b"\x00" + struct.pack(">HHH", 65535, 128 * 257, 0) * 2

    assert only_colour(png((2, 2), 16, 2, row * 2)) == (255, 128, 0)


def test_16_bit_alpha_is_scaled_and_composited_on_white() -> None:
    grey = b"\x00" + struct.pack(">HH", 0, 0x3333) * 2
    colour = b"\x00" + struct.pack(">HHHH", 65535, 0, 0, 0x3333) * 2

    assert only_colour(png((2, 2), 16, 4, grey * 2)) == (204, 204, 204)
    assert only_colour(png((2, 2), 16, 6, colour * 2)) == (255, 204, 204)


def test_cmyk_tiff_has_its_colours() -> None:
    assert only_colour(encode(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "TIFF")) == RED


def test_one_bit_picture_is_black_and_white() -> None:
    image = Image.new("1", (32, 32), 1)
    image.paste(0, (0, 0, 16, 32))

    found = pixels(encode(image, "PNG"))

    assert found[:, 2].max() == 0
    assert found[:, -3].min() == 255


def test_palette_gives_its_colours() -> None:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([*RED, 10, 200, 30])

    assert only_colour(encode(image, "PNG")) == (10, 200, 30)


@pytest.mark.parametrize(("alpha", "expected"), [(0, WHITE), (128, (255, 127, 127)), (255, RED)])
def test_alpha_is_composited_on_white(alpha: int, expected: tuple[int, ...]) -> None:
    image = Image.new("RGBA", (20, 20), (*RED, alpha))

    assert np.abs(np.subtract(only_colour(encode(image, "PNG")), expected)).max() <= 1
    assert (
        np.abs(np.subtract(only_colour(encode(image, "WEBP", lossless=True, exact=True)), expected)).max()
        <= 1
    )


def test_colour_hidden_under_full_transparency_does_not_bleed() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 255, 0))
    image.paste((*GREEN, 255), (0, 0, 20, 40))

    found = pixels(encode(image, "PNG")).astype(int)

    assert np.array_equal(found[..., 0], found[..., 2])  # between green and white, never towards magenta
    assert found[..., 1].min() >= 254


def test_composite_after_the_resize_equals_composite_before_it() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    flat = Image.new("RGBA", image.size, (*WHITE, 255))
    flat.alpha_composite(image)

    expected = flat.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)

    assert np.abs(pixels(encode(image, "PNG")).astype(int) - np.asarray(expected)).max() <= 2


def test_grey_with_alpha_is_composited_on_white() -> None:
    assert only_colour(encode(Image.new("LA", (20, 20), (0, 255)), "PNG")) == (0, 0, 0)
    assert only_colour(encode(Image.new("LA", (20, 20), (0, 0)), "PNG")) == WHITE
    assert only_colour(encode(Image.new("LA", (20, 20), (0, 51)), "PNG")) == (204, 204, 204)


@pytest.mark.parametrize("transparency", [0, b"\x00"])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(kind: str, transparency: int | bytes) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([*RED, *BLUE])
    options = {"transparency": transparency if kind == "PNG" else 0}

    assert only_colour(encode(image, kind, **options)) == WHITE
    assert only_colour(encode(image, kind)) == RED


def test_half_transparent_palette_entries_are_mixed_with_white() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([*RED, *BLUE])

    assert only_colour(encode(image, "PNG", transparency=bytes([255, 51]))) == (204, 204, 255)


@pytest.mark.parametrize(
    ("bits", "colour_type", "level", "row"),
    [
        (4, 0, struct.pack(">H", 7), b"\x00\x77"),
        (2, 0, struct.pack(">H", 1), b"\x00\x50"),
        (8, 0, struct.pack(">H", 77), b"\x00\x4d\x4d"),
        (16, 0, struct.pack(">H", 0x1234), b"\x00" + b"\x12\x34" * 2),
        (8, 2, struct.pack(">HHH", 1, 2, 3), b"\x00" + b"\x01\x02\x03" * 2),
        (16, 2, struct.pack(">HHH", 0x0102, 0x0304, 0x0506), b"\x00" + b"\x01\x02\x03\x04\x05\x06" * 2),
    ],
)
def test_transparent_colour_of_a_png_is_white_at_any_depth(
    bits: int, colour_type: int, level: bytes, row: bytes
) -> None:
    assert only_colour(png((2, 2), bits, colour_type, row * 2, (b"tRNS", level))) == WHITE
    assert only_colour(png((2, 2), bits, colour_type, row * 2)) != WHITE


def test_measurements_in_float_are_stretched_over_the_whole_range() -> None:
    ramp = np.tile(np.linspace(-5, 5, SIDE, dtype=np.float32), (SIDE, 1))

    found = pixels(encode(Image.fromarray(ramp), "TIFF"))

    assert (found.min(), found.max()) == (0, 255)
    assert np.all(np.diff(found[0, :, 0].astype(int)) > 0)
