"""Which way up a picture is: the orientation in EXIF data, read without Pillow's EXIF parser.

Pillow's parser reads every tag of every directory and reports bad data as Python warnings, which cannot
be silenced for one thread alone; one number is all that is needed here.
"""

from struct import Struct, error
from typing import Final

from PIL.Image import Transpose

MAX_ENTRIES = 512  # a camera writes some tens
_ORIENTATION_TAG = 0x0112
_PREFIX = b"Exif\x00\x00"

# What turns the stored pixels into the displayed ones; 1 needs nothing.
TRANSPOSES: Final = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def orientation(exif: bytes | None) -> int:
    """Read the orientation from EXIF data, with or without its `Exif` prefix.

    Returns:
        1 to 8, as EXIF 2.32 numbers them; 1 where there is none or it cannot be read. Never raises.
    """
    if not exif:
        return 1
    tiff = exif.removeprefix(_PREFIX)
    try:
        return _from_first_directory(tiff)
    except error:
        return 1


def _from_first_directory(tiff: bytes) -> int:
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    (offset,) = Struct(order + "I").unpack_from(tiff, 4)
    (n_entries,) = Struct(order + "H").unpack_from(tiff, offset)
    entry = Struct(order + "HHI")  # tag, type, count; the value lies in the four bytes behind
    for index in range(min(n_entries, MAX_ENTRIES)):
        start = offset + 2 + 12 * index
        tag, kind, count = entry.unpack_from(tiff, start)
        if tag == _ORIENTATION_TAG and count == 1 and kind in (3, 4):
            value: int = Struct(order + ("H" if kind == 3 else "I")).unpack_from(tiff, start + 8)[0]
            return value if 1 <= value <= 8 else 1
    return 1
