"""What a picture file says about itself, and the part of it that Pillow needs to see.

```
bytes -> sniff            the format, by content
      -> read_container   size and orientation; the bytes that carry pixels
             JPEG   jpeg.py
             PNG    drops text, profiles, animation and unknown chunks
             GIF    drops comments, application data and disposal; first frame only
             WEBP   the canvas size, because libwebp allocates the canvas when it opens the file
             BMP, TIFF, AVIF   as they are: Pillow reads their size without allocating pixels
```

Dropping what is not pixels takes away the decompression bombs in PNG text and profiles, the time that
Pillow spends on millions of small blocks, and every warning it gives about metadata.
"""

from dataclasses import dataclass
from struct import error, unpack_from
from typing import Final, Literal

from model_store.exif import orientation
from model_store.jpeg import read_jpeg
from model_store.malformed import Malformed

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]

_MAGIC: Final[tuple[tuple[bytes | tuple[bytes, ...], Format], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    ((b"GIF87a", b"GIF89a"), "GIF"),
    ((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), "TIFF"),
    (b"BM", "BMP"),
)
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = b"!,;"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Container:
    """A picture file without what is not needed for its pixels.

    `size` is (width, height) as stored, None where only Pillow can tell; `orientation` is EXIF's, None
    where Pillow has to be asked; `bits` per channel, where a PNG says so.
    """

    data: bytes
    size: tuple[int, int] | None = None
    orientation: int | None = None
    bits: int = 8


def sniff(data: bytes) -> Format | None:
    """Tell the format by the first bytes; None if it is none of the seven."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    return None


def read_container(data: bytes, kind: Format, max_segments: int) -> Container:
    """Read size and orientation, and leave out what carries no pixels.

    Raises:
        Malformed: the file ends too soon, has no picture in it, or over `max_segments` parts.
    """
    if kind == "JPEG":
        jpeg = read_jpeg(data, max_segments)
        return Container(jpeg.data, jpeg.size, orientation(jpeg.exif))
    if kind == "PNG":
        return _read_png(data, max_segments)
    if kind == "GIF":
        return _read_gif(data, max_segments)
    if kind == "WEBP":
        return Container(data, _webp_size(data))
    return Container(data)


def _read_png(data: bytes, max_segments: int) -> Container:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise Malformed("it does not begin with a PNG header")
    view = memoryview(data)
    kept, exif, position = [view[:8]], b"", 8
    for _ in range(max_segments):
        if position + 8 > len(data):
            kept.append(view[position:])
            break
        length, name = unpack_from(">I4s", data, position)
        end = position + 12 + length
        # critical chunks have a capital first letter; of the others only tRNS changes pixels
        if name == b"IEND":
            kept.append(memoryview(_PNG_END))
            break
        if not name[0] & 0x20 or name == b"tRNS":
            kept.append(view[position:end])
        elif name == b"eXIf":
            exif = data[position + 8 : end - 4]
        position = end
    else:
        raise Malformed(f"it has over {max_segments} chunks")
    return Container(b"".join(kept), unpack_from(">II", data, 16), orientation(exif), data[24])


def _read_gif(data: bytes, max_segments: int) -> Container:
    try:
        start = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
        control, position = _gif_first_image(data, start, max_segments)
        width, height = unpack_from("<HH", data, 6)
        x, y, frame_width, frame_height = unpack_from("<4H", data, position + 1)
    except (IndexError, error) as err:
        raise Malformed("it ends before its first picture") from err
    # a frame larger than the screen enlarges the screen
    size = max(width, x + frame_width), max(height, y + frame_height)
    return Container(b"".join((data[:start], control, memoryview(data)[position:])), size, 1)


def _gif_first_image(data: bytes, position: int, max_segments: int) -> tuple[bytes, int]:
    """Find the last graphic control block (transparency) before the first image, and that image."""
    control = b""
    steps = iter(range(max_segments))  # shared with the sub-blocks
    for _ in steps:
        if data[position] == _GIF_IMAGE:
            return control, position
        if data[position] == _GIF_END:
            raise Malformed("it has no picture in it")
        if data[position] != _GIF_EXTENSION:
            position += 1
            continue
        if data[position + 1 : position + 3] == b"\xf9\x04":
            # without disposal, which matters to later frames only
            flags = bytes((data[position + 3] & 0b11100011,))
            control = b"!\xf9\x04" + flags + data[position + 4 : position + 7] + b"\x00"
        position += 2
        for _ in steps:
            size = data[position]
            position += size + 1
            if not size:
                break
    raise Malformed(f"it has over {max_segments} blocks")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if len(data) >= 30:
        if kind == b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
            width, height = unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        if kind == b"VP8L" and data[20] == 0x2F:
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    raise Malformed("it does not begin with a WebP header")
