"""What holds for every picture and for every string of bytes, on examples that hypothesis looks for."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from model_store.decode import Picture, Undecodable, decode
from model_store.exif import TRANSPOSES
from model_store.preprocess import Preprocess
from producer.contracts import Failure
from tests.unit.model_store.picture_files import EVERY_FORMAT, encode

MAGIC = (
    b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"GIF89a", b"RIFF\x00\x01\x00\x00WEBPVP8X",
    b"RIFF\x00\x01\x00\x00WEBPVP8 ", b"BM", b"II*\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08",
    b"\x00\x00\x00\x1cftypavif",
)  # fmt: skip
LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "BMP": {},
    "TIFF": {},
}
LOSSY: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "AVIF": {"quality": 90, "speed": 10},
}  # fmt: skip
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
KEEPS = {"PNG": MODES, "WEBP": ("RGB", "RGBA"), "BMP": ("1", "L", "P", "RGB"), "TIFF": MODES}
colours = st.tuples(*[st.integers(0, 255)] * 3)
sides = st.integers(1, 70)
often = settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def pixels(data: bytes, side: int = 16) -> NDArray[np.uint8]:
    outcome = decode(data, Preprocess(input_size=side), EVERY_FORMAT)
    assert isinstance(outcome, Picture), outcome
    return outcome.pixels


def drawn(seed: int, width: int, height: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(values)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16)
        return Image.fromarray(grey * 257)
    return image.convert("RGB").convert(mode) if mode == "P" else image.convert(mode)


@often
@given(start=st.sampled_from(MAGIC), rest=st.binary(max_size=600), side=st.integers(4, 64))
def test_any_bytes_give_a_picture_or_a_coded_refusal(start: bytes, rest: bytes, side: int) -> None:
    outcome = decode(start + rest, Preprocess(input_size=side), EVERY_FORMAT)

    if isinstance(outcome, Picture):
        assert outcome.pixels.shape == (side, side, 3)
        return
    assert outcome.code.startswith("decode.")
    told = Failure(code=outcome.code, detail=outcome.detail)
    assert Failure.model_validate_json(told.model_dump_json()) == told


@often
@given(
    saved=st.sampled_from([(kind, mode) for kind, modes in KEEPS.items() for mode in modes]),
    width=sides, height=sides, seed=st.integers(0, 1000),
)  # fmt: skip
def test_lossless_pictures_keep_size_and_every_pixel(
    saved: tuple[str, str], width: int, height: int, seed: int
) -> None:
    kind, mode = saved
    image = in_mode(drawn(seed, width, height), mode)

    outcome = decode(encode(image, kind, **LOSSLESS[kind]), Preprocess(input_size=16), EVERY_FORMAT)

    assert isinstance(outcome, Picture)
    assert (outcome.width, outcome.height, outcome.format) == (width, height, kind)
    assert np.abs(outcome.pixels.astype(int) - shown(image)).max() <= 2


def shown(image: Image.Image) -> NDArray[np.int64]:
    """What a browser would show, at 16 x 16, by another way: float64, white first, resize after."""
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    rgba = np.asarray(image.convert("RGBA"), np.float64)
    alpha = rgba[..., 3:] / 255
    flat = rgba[..., :3] * alpha + 255 * (1 - alpha)
    channels = [
        Image.fromarray(flat[..., i].astype(np.float32)).resize(
            (16, 16), Image.Resampling.BILINEAR, reducing_gap=3.0
        )
        for i in range(3)
    ]
    found: NDArray[np.int64] = np.rint(np.dstack([np.asarray(c) for c in channels])).astype(np.int64)
    return found


@often
@given(
    kind=st.sampled_from(sorted(LOSSY)), colour=colours, width=st.integers(2, 200), height=st.integers(2, 200)
)
def test_lossy_pictures_keep_size_and_nearly_the_colour(
    kind: str, colour: tuple[int, int, int], width: int, height: int
) -> None:
    image = Image.new("RGB", (width, height), colour)

    outcome = decode(encode(image, kind, **LOSSY[kind]), Preprocess(input_size=16), EVERY_FORMAT)

    assert isinstance(outcome, Picture)
    assert (outcome.width, outcome.height, outcome.format) == (width, height, kind)
    assert np.abs(outcome.pixels.astype(int) - colour).max() <= 8


@often
@given(values=arrays.arrays(np.uint8, st.tuples(sides, sides, st.just(3))), turn=st.integers(1, 8))
def test_a_picture_stored_turned_is_the_same_picture(values: NDArray[np.uint8], turn: int) -> None:
    upright = Image.fromarray(values)
    # the orientation says how the stored picture gets upright: store it turned the other way
    back = {6: 8, 8: 6}.get(turn, turn)
    stored = upright if turn == 1 else upright.transpose(TRANSPOSES[back])
    exif = Image.Exif()
    exif[0x0112] = turn

    found = pixels(encode(stored, "PNG", exif=exif))

    assert np.abs(found.astype(int) - pixels(encode(upright, "PNG"))).max() <= 1


@often
@given(values=arrays.arrays(np.uint8, st.tuples(st.just(16), st.just(16), st.just(3))))
def test_a_picture_of_the_input_size_is_its_own_input(values: NDArray[np.uint8]) -> None:
    once = pixels(encode(Image.fromarray(values), "PNG"))

    assert np.array_equal(once, values)
    assert np.array_equal(pixels(encode(Image.fromarray(once), "PNG")), once)


@often
@given(seed=st.integers(0, 1000), width=sides, height=sides, cut=st.floats(0, 1), tail=st.binary(max_size=50))
def test_the_same_bytes_give_the_same_outcome_and_what_follows_the_end_does_not_matter(
    seed: int, width: int, height: int, cut: float, tail: bytes
) -> None:
    whole = encode(drawn(seed, width, height).convert("RGB"), "PNG")
    data = whole[: int(len(whole) * cut)]

    first, second = (decode(data, Preprocess(input_size=16), EVERY_FORMAT) for _ in range(2))

    if isinstance(first, Undecodable):
        assert first == second
    assert np.array_equal(pixels(whole), pixels(whole + tail))
