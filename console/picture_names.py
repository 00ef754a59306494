"""Which files of a folder may be pictures, by their names alone; what is in them decoders tell."""

from pathlib import PurePath
from typing import Final

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"),
    *(".bmp", ".tif", ".tiff", ".avif"),  # decoded where SHOAL_DECODE__FORMATS names them
)


def may_be_picture(name: PurePath) -> bool:
    """Tell whether a file, named from the folder on, may be one: no hidden one, but one without a suffix."""
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and (not name.suffix or name.suffix.lower() in SUFFIXES)
