"""What the fuzz run starts from: pictures drawn here, and the hostile set where it is present."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

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

HOSTILE = Path(__file__).parents[3] / "shared" / "data" / "hostile"
LARGEST = 5000  # side, in pixels: the 25 M that are accepted

Corpus = dict[str, bytes]  # name to file


def drawn() -> Corpus:
    """Small sound pictures: every format, the modes and containers that take ways of their own."""
    rgb, rgba = noise(48), Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 48, 4), np.uint8))
    grey16 = Image.fromarray(np.random.default_rng(2).integers(0, 65536, (40, 48), np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    several = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    files = {f"{kind}": encode(rgb, kind) for kind in EVERY_FORMAT.formats}
    files |= {
        "JPEG progressive": encode(rgb, "JPEG", progressive=True, exif=turned),
        "JPEG CMYK": encode(rgb.convert("CMYK"), "JPEG"),
        "JPEG grey": encode(rgb.convert("L"), "JPEG", restart_marker_blocks=2),
        "JPEG several": encode(rgb, "MPO", **several),
        "JPEG metadata": jpeg_with(segment(0xE1, b"Exif\x00\x00" + bytes(40)), segment(0xFE, b"hello")),
        "PNG alpha": encode(rgba, "PNG", exif=turned),
        "PNG grey alpha": encode(rgba.convert("LA"), "PNG"),
        "PNG palette": encode(rgb.convert("P"), "PNG", transparency=b"\x00\x80\xff"),
        "PNG 1 bit": encode(rgb.convert("1"), "PNG"),
        "PNG 16 bit": encode(grey16, "PNG"),
        "PNG animated": encode(rgb, "PNG", **several),
        "PNG text": png_with(chunk(b"zTXt", b"Comment\x00\x00x\x9c\x03\x00\x00\x00\x00\x01")),
        "WEBP lossless": encode(rgba, "WEBP", lossless=True),
        "WEBP alpha": encode(rgba, "WEBP", exif=turned),
        "WEBP animated": encode(rgb, "WEBP", **several),
        "GIF animated": encode(rgb, "GIF", **several),
        "GIF transparent": encode(rgb.convert("P"), "GIF", transparency=3, interlace=1),
        "BMP palette": encode(rgb.convert("P"), "BMP"),
        "TIFF LZW": encode(rgb, "TIFF", compression="tiff_lzw"),
        "TIFF JPEG": encode(rgb, "TIFF", compression="jpeg"),
        "TIFF deflate": encode(grey16, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF float": encode(rgb.convert("F"), "TIFF"),
        "TIFF CMYK": encode(rgb.convert("CMYK"), "TIFF", compression="packbits"),
        "AVIF alpha": encode(rgba, "AVIF", exif=turned),
        "AVIF sequence": encode(rgb, "AVIF", **several),
    }
    return files


@cache
def bombs() -> Corpus:
    """What asks for much: the largest pictures that are accepted, and those that go too far."""
    flat = Image.new("RGBA", (LARGEST, LARGEST), (200, 30, 40, 128))
    rgb = flat.convert("RGB")
    bomb = chunk(b"zTXt", b"Comment\x00\x00" + _deflated(50_000_000))
    files = {
        "largest JPEG": encode(rgb, "JPEG"),
        "largest progressive JPEG": encode(rgb.convert("CMYK"), "JPEG", progressive=True, quality=95),
        "largest PNG": encode(flat, "PNG", compress_level=1),
        "largest 16-bit PNG": encode(Image.new("I;16", flat.size, 77), "PNG", compress_level=1),
        "largest palette PNG": encode(rgb.convert("P"), "PNG", transparency=b"\x00\x80", compress_level=1),
        "largest WEBP": encode(flat, "WEBP", lossless=True, quality=0, method=0),
        "largest GIF": encode(rgb.convert("P"), "GIF"),
        "largest BMP": encode(rgb.convert("L"), "BMP"),
        "largest TIFF": encode(Image.new("F", flat.size, 0.5), "TIFF", compression="tiff_lzw"),
        "largest AVIF": encode(flat, "AVIF", speed=10, quality=30),
        "scan bomb": scan_bomb(2000),
        "most scans": scan_bomb(50),
        "text bombs": png_with(*[bomb] * 100),
        "profile bombs": png_with(*[chunk(b"iCCP", b"p\x00\x00" + _deflated(50_000_000))] * 100),
        "lying JPEG": lying_jpeg(4000, 4000),
        "JPEG of 60,000": lying_jpeg(60_000, 60_000),
    }
    return {**files, **{f"{kind} of 60,000": data for kind, data in swollen(60_000).items()}}


def swollen(side: int) -> Corpus:
    """Small pictures whose headers promise `side` x `side` pixels; WebP's cannot promise over 16,383."""
    png, gif = bytearray(encode(noise(), "PNG")), bytearray(encode(noise(), "GIF"))
    bmp, tiff = bytearray(encode(noise(), "BMP")), bytearray(encode(noise(), "TIFF"))
    avif, webp = bytearray(encode(noise(), "AVIF")), bytearray(encode(Image.new("RGBA", (64, 64)), "WEBP"))
    struct.pack_into(">II", png, 16, side, side)
    struct.pack_into("<HH", gif, 6, side, side)
    struct.pack_into("<II", bmp, 18, side, side)
    for tag in (b"\x00\x01\x04\x00\x01\x00\x00\x00", b"\x01\x01\x04\x00\x01\x00\x00\x00"):
        struct.pack_into("<I", tiff, tiff.index(tag) + 8, side)
    struct.pack_into(">II", avif, avif.index(b"ispe") + 8, side, side)
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = min(side, 16_383).to_bytes(3, "little") * 2
    named = {"PNG": png, "GIF": gif, "BMP": bmp, "TIFF": tiff, "AVIF": avif, "WEBP": webp}
    return {kind: bytes(data) for kind, data in named.items()}


def hostile(folder: Path = HOSTILE) -> Corpus:
    """The hostile set, as its manifest lists it; empty where it is absent."""
    return {path.name: path.read_bytes() for path in _pictures(folder)} if folder.exists() else {}


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix != ".csv")


def _deflated(n_zeros: int) -> bytes:
    return zlib.compress(bytes(n_zeros), 9)
