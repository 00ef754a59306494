"""JPEG files, marker by marker: the size, the EXIF data, the scans; nothing is decoded.

```
FFD8            start
FFxx LLLL ...   segments: tables, SOF (the size), APPn and COM (dropped, but for JFIF and Adobe)
FFDA LLLL ...   a scan's header, then its data, in which FF is followed by 00 or by a restart
...             a progressive file has about ten scans; each goes over the whole picture again
FFD9            end
```

Source of the layout: ITU-T T.81 (1992), annex B.
"""

import re
from dataclasses import dataclass
from struct import error, unpack_from

from model_store.malformed import Malformed

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # passes over restarts
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_SOS, _EOI, _COM = 0xDA, 0xD9, 0xFE
_SEGMENTS_PER_SCAN = 32  # a scan has its tables before it, of which there are at most eight
_APP = range(0xE0, 0xF0)
_NEEDED_APP = ((0xE0, b"JFIF"), (0xEE, b"Adobe"))  # libjpeg chooses the colour space by these
_EXIF_APP = (0xE1, b"Exif\x00\x00")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file without metadata: `data` to decode, `size` (width, height) as stored, `exif` or none."""

    data: bytes
    size: tuple[int, int]
    exif: bytes


def read_jpeg(data: bytes, max_segments: int) -> Jpeg:
    """Walk the segments up to the first scan.

    Raises:
        Malformed: no frame header or no scan, a segment beyond the end, or over `max_segments` of them.
    """
    size, exif = None, b""
    kept: list[bytes | memoryview] = [data[:2]]
    position = 2
    for _ in range(max_segments):
        match = _MARKER.search(data, position)
        if match is None:
            raise Malformed("it ends before its first scan")
        marker, start = data[match.start() + 1], match.start()
        if marker == _EOI:
            raise Malformed("it has no picture in it")
        if marker in _WITHOUT_LENGTH:
            position = start + 2
            continue
        position = _segment_end(data, start)
        if marker == _SOS:
            break
        if marker in _SOF and size is None:
            size = _size(data, start)
        if (marker, data[start + 4 : start + 10]) == _EXIF_APP:
            exif = exif or data[start + 4 : position]
        if _carries_pixels(marker, data[start + 4 : start + 9]):
            kept.append(data[start:position])
    else:
        raise Malformed(f"it has over {max_segments} segments")
    if size is None:
        raise Malformed("it has no frame header")
    kept.append(memoryview(data)[start:])
    return Jpeg(b"".join(kept), size, exif)


def count_scans(data: bytes, at_most: int) -> int:
    """Count the scans of what `read_jpeg` returned; at most `at_most` + 1, and up to `at_most` a bound."""
    bound = data.count(b"\xff\xda")  # counts what only looks like a scan too, but at the speed of memchr
    if bound <= at_most:
        return bound
    n_scans, position = 0, 2
    for _ in range(_SEGMENTS_PER_SCAN * (at_most + 1)):
        match = _MARKER_IN_SCAN.search(data, position)
        if match is None or data[match.start() + 1] == _EOI or n_scans > at_most:
            return n_scans
        marker, start = data[match.start() + 1], match.start()
        n_scans += marker == _SOS
        position = start + 2 if marker in _WITHOUT_LENGTH else start + 2 + _length(data, start)
    return at_most + 1


def _carries_pixels(marker: int, name: bytes) -> bool:
    if marker in _APP:
        return any(marker == app and name.startswith(prefix) for app, prefix in _NEEDED_APP)
    return marker != _COM


def _length(data: bytes, start: int) -> int:
    return max(2, int.from_bytes(data[start + 2 : start + 4], "big"))


def _segment_end(data: bytes, start: int) -> int:
    end = start + 2 + _length(data, start)
    if end > len(data):
        raise Malformed("it ends in the middle of its header")
    return end


def _size(data: bytes, start: int) -> tuple[int, int]:
    try:
        height, width = unpack_from(">HH", data, start + 5)
    except error as err:
        raise Malformed("it ends in the middle of its header") from err
    return width, height
