"""Sound pictures of every kind give the right pixels."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import Preprocess

SIDE = 16
PREPROCESS = Preprocess(input_size=SIDE)
EVERY_FORMAT = DecodeLimits(formats=("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"))
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

# Where the stored corners are displayed, EXIF 2.32, table 6: top left, top right (row, column)
FIRST, LAST = 1, SIDE - 2
SHOWN_AT = {
    1: ((FIRST, FIRST), (FIRST, LAST)),
    2: ((FIRST, LAST), (FIRST, FIRST)),
    3: ((LAST, LAST), (LAST, FIRST)),
    4: ((LAST, FIRST), (LAST, LAST)),
    5: ((FIRST, FIRST), (LAST, FIRST)),
    6: ((FIRST, LAST), (LAST, LAST)),
    7: ((LAST, LAST), (FIRST, LAST)),
    8: ((LAST, FIRST), (FIRST, FIRST)),
}


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    size: tuple[int, int], bits: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """Write what Pillow cannot: any bit depth, any chunk."""
    header = struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


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


def corners() -> Image.Image:
    """48 x 32: red at the top left, green at the top right, blue below."""
    image = Image.new("RGB", (48, 32), BLUE)
    image.paste(RED, (0, 0, 24, 16))
    image.paste(GREEN, (24, 0, 48, 16))
    return image


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_each_format_is_told_by_content_and_decoded(kind: str) -> None:
    found = picture(encode(corners(), kind))

    assert (found.format, found.width, found.height) == (kind, 48, 32)
    assert np.abs(found.pixels[1, 1].astype(int) - RED).max() < 12  # lossy ones come near


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    options = {"quality": 100} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = encode(corners(), kind, exif=exif(orientation), **options)

    found = picture(data)

    assert (found.width, found.height) == ((32, 48) if orientation >= 5 else (48, 32))
    for place, colour in zip(SHOWN_AT[orientation], (RED, GREEN), strict=True):
        assert np.abs(found.pixels[place].astype(int) - colour).max() < 40


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(byte_order: str) -> None:
    start = b"II*\x00" if byte_order == "<" else b"MM\x00*"
    tags = start + struct.pack(byte_order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)

    found = picture(encode(corners(), "PNG", exif=b"Exif\x00\x00" + tags))

    assert (found.width, found.height) == (32, 48)


def test_resize_equals_pillows_bilinear_of_the_whole_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 45, 3), dtype=np.uint8)
    image = Image.fromarray(noise)

    found = pixels(encode(image, "PNG"))

    assert np.array_equal(found, np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))


def test_large_jpeg_scaled_in_the_dct_stays_near_the_full_resize() -> None:
    gradient = np.linspace(0, 255, 1001, dtype=np.uint8)
    image = Image.fromarray(np.dstack([np.tile(gradient, (701, 1))] * 3))
    data = encode(image, "JPEG", quality=95)

    expected = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)

    assert np.abs(pixels(data).astype(int) - np.asarray(expected)).max() <= 3


def test_sound_picture_of_one_pixel_decodes() -> None:
    found = picture(encode(Image.new("P", (1, 1)), "GIF"))

    assert (found.width, found.height, found.format) == (1, 1, "GIF")


def test_cmyk_jpeg_as_adobe_writes_it_has_its_colours() -> None:
    data = encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in data

    assert np.abs(np.subtract(only_colour(data), RED)).max() <= 2


def test_cmyk_jpeg_keeps_its_black() -> None:
    data = encode(Image.new("CMYK", (32, 32), (0, 0, 0, 191)), "JPEG", quality=100)

    assert np.abs(np.subtract(only_colour(data), (64, 64, 64))).max() <= 2


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 0), (128 * 257, 128), (65535, 255)])
def test_16_bit_grey_is_scaled_not_clipped(value: int, expected: int) -> None:
    image = Image.fromarray(np.full((20, 20), value, np.uint16))

    assert only_colour(encode(image, "PNG")) == (expected,) * 3
    assert only_colour(encode(image, "TIFF")) == (expected,) * 3


def test_16_bit_rgb_is_scaled() -> None:
    row = b"\x00" + struct.pack(">HHH", 65535, 128 * 257, 0) * 2

    assert only_colour(png((2, 2), 16, 2, row * 2)) == (255, 128, 0)


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


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}

    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)

    assert only_colour(data) == RED


def test_first_of_several_pictures_in_a_jpeg_is_taken() -> None:
    first, second = Image.new("RGB", (32, 32), RED), Image.new("RGB", (32, 32), GREEN)

    found = picture(encode(first, "MPO", save_all=True, append_images=[second], quality=100))

    assert found.format == "JPEG"
    assert np.abs(found.pixels.astype(int) - RED).max() <= 2


def test_measurements_in_float_are_stretched_over_the_whole_range() -> None:
    ramp = np.tile(np.linspace(-5, 5, SIDE, dtype=np.float32), (SIDE, 1))

    found = pixels(encode(Image.fromarray(ramp), "TIFF"))

    assert (found.min(), found.max()) == (0, 255)
    assert np.all(np.diff(found[0, :, 0].astype(int)) > 0)


def test_pixels_may_be_written_and_are_contiguous() -> None:
    for data in (encode(corners(), "JPEG"), encode(corners().convert("RGBA"), "PNG")):
        found = pixels(data)

        assert found.flags.writeable
        assert found.flags.c_contiguous


def test_threads_give_the_same_pixels_as_one() -> None:
    rng = np.random.default_rng(2)
    noise = [Image.fromarray(rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)) for _ in range(40)]
    files = [encode(image, kind) for image in noise for kind in ("JPEG", "PNG", "WEBP")]
    alone = [pixels(data) for data in files]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels, files))

    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_limits_refuse_formats_with_a_bad_history() -> None:
    with pytest.raises(ValidationError, match="formats"):
        DecodeLimits.model_validate({"formats": ["JPEG", "EPS"]})


@pytest.mark.parametrize("model", [Preprocess, DecodeLimits])
def test_mistyped_settings_are_refused(model: type[Preprocess] | type[DecodeLimits]) -> None:
    with pytest.raises(ValidationError, match="forbidden"):
        model.model_validate({"max_pixel": 1})
