"""Sound pictures of every format give the right pixels, the right way up."""

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import Preprocess
from tests.unit.model_store.picture_files import EVERY_FORMAT, encode, segment

SIDE = 16
PREPROCESS = Preprocess(input_size=SIDE)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

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


def picture(data: bytes) -> Picture:
    outcome = decode(data, PREPROCESS, EVERY_FORMAT)
    assert isinstance(outcome, Picture), outcome
    assert outcome.pixels.shape == (SIDE, SIDE, 3)
    assert outcome.pixels.dtype == np.uint8
    return outcome


def pixels(data: bytes) -> NDArray[np.uint8]:
    return picture(data).pixels


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


def test_first_orientation_of_a_jpeg_counts() -> None:
    data = encode(corners(), "JPEG")
    both = segment(0xE1, exif(6)) + segment(0xE1, exif(3))

    found = picture(data[:2] + both + data[2:])

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


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}

    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)

    assert np.all(pixels(data) == RED)


def test_first_of_several_pictures_in_a_jpeg_is_taken() -> None:
    first, second = Image.new("RGB", (32, 32), RED), Image.new("RGB", (32, 32), GREEN)

    found = picture(encode(first, "MPO", save_all=True, append_images=[second], quality=100))

    assert found.format == "JPEG"
    assert np.abs(found.pixels.astype(int) - RED).max() <= 2


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
