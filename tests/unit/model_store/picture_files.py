"""Picture files as the decoder's tests need them: sound, lying, and made to explode."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from model_store.decode import DecodeLimits

EVERY_FORMAT = DecodeLimits(formats=("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    size: tuple[int, int], bits: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """Write what Pillow cannot: any bit depth, any chunk."""
    header = struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in parts)


def png_with(*extra: bytes) -> bytes:
    """Insert chunks behind the header of a sound PNG."""
    data = encode(noise(), "PNG")
    return data[:33] + b"".join(extra) + data[33:]


def jpeg_with(*extra: bytes) -> bytes:
    """Insert segments behind the start of a sound JPEG."""
    data = encode(noise(), "JPEG")
    return data[:2] + b"".join(extra) + data[2:]


def segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def scan_bomb(n_scans: int) -> bytes:
    """Repeat the last scan of a progressive JPEG, which costs a pass over the picture each time."""
    data = encode(Image.new("L", (2000, 2000), 77), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * n_scans + b"\xff\xd9"


def lying_jpeg(width: int, height: int) -> bytes:
    """Write another size into the header of a picture of 64 x 64."""
    data = bytearray(encode(noise(), "JPEG"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)
