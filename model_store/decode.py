"""Bytes to pixels: the one way, for training and for serving.

```
bytes -> empty?          decode.empty
      -> format          decode.unsupported       by content, never by name
      -> header          decode.corrupt           containers.py: metadata is dropped here
      -> size            decode.bad_dimensions, decode.too_many_pixels; admission.py
      -> scans           decode.too_many_scans    JPEG only
      -> load            decode.corrupt           Pillow, first frame; JPEG scaled in the DCT
      -> (S, S, 3)       preprocess.py
```

Everything before `load` costs microseconds, whatever the file promises. No state is shared: any number
of threads may decode, and most of the time is spent in C without the GIL.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_store.admission import DecodeLimits, Undecodable, refuse_header, refuse_size
from model_store.containers import Container, Format, read_container, sniff
from model_store.exif import orientation
from model_store.malformed import Malformed
from model_store.preprocess import Preprocess, to_pixels

__all__ = ["DecodeLimits", "Picture", "Preprocess", "Undecodable", "decode"]

# Not by Image.open, which warns at 89 Mpx and takes a JPEG with several pictures for another format.
_OPENERS: Final[dict[Format, type[ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImageFile,
}


class _Silent:
    """Stands in for the `warnings` module where Pillow reads TIFF tags (AVIF's EXIF included).

    Before Python 3.14 a warning filter cannot be set for one thread alone.
    """

    @staticmethod
    def warn(*_args: object, **_options: object) -> None:
        """Say nothing: bad tags either make the picture fail, or do not matter."""


vars(TiffImagePlugin)["warnings"] = _Silent


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    `pixels`: (S, S, 3) uint8, RGB. `width` and `height`: as displayed, before the resize.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: Format


def decode(data: bytes, preprocess: Preprocess, limits: DecodeLimits) -> Picture | Undecodable:
    """Decode one picture file into the network's input.

    Guarantees: no bytes make it raise or warn (but for MemoryError, which is the machine's fault and not the
    picture's); equal bytes give equal pixels; at most `limits.max_pixels` are ever decoded.

    Args:
        data: the whole file.
        preprocess: the model's, from its manifest.
        limits: the installation's.
    """
    if not data:
        return Undecodable("decode.empty", "The file is empty.")
    kind = sniff(data)
    if kind is None or kind not in limits.formats:
        found = "not a picture in a known format" if kind is None else f"a {kind} file"
        accepted = ", ".join(limits.formats)
        return Undecodable("decode.unsupported", f"This is {found}; accepted are {accepted}.")
    try:
        return _decode(data, kind, preprocess, limits)
    except MemoryError:
        raise
    except Malformed as err:
        return Undecodable("decode.corrupt", f"This is a damaged {kind} file: {err}.")
    except Exception as err:  # noqa: BLE001  Pillow's readers raise a dozen types, its exceptions are not a contract
        cause = "it is cut short" if "truncated" in str(err) else "its data cannot be decoded"
        return Undecodable("decode.corrupt", f"This is a damaged {kind} file: {cause}.")


def _decode(data: bytes, kind: Format, preprocess: Preprocess, limits: DecodeLimits) -> Picture | Undecodable:
    container = read_container(data, kind, limits.max_segments)
    fault = refuse_header(container, kind, limits)
    if fault is not None:
        return fault
    image = _OPENERS[kind](BytesIO(container.data))
    # again, for the formats whose size only Pillow knows, and should Pillow have read another
    fault = refuse_size(image.size, limits)
    if fault is not None:
        return fault
    return _load(image, kind, container, preprocess)


def _load(image: ImageFile, kind: Format, container: Container, preprocess: Preprocess) -> Picture:
    width, height = image.size
    draft = image.draft(None, (preprocess.input_size, preprocess.input_size))
    image.load()
    if draft is None:
        width, height = image.size  # TIFF turns itself upright when it loads
    if kind == "PNG":
        _scale_transparency(image, container.bits)
    turn = orientation(image.info.get("exif")) if container.orientation is None else container.orientation
    pixels = to_pixels(image, preprocess, orientation=turn, box=draft[1] if draft else None)
    return Picture(pixels, *((height, width) if turn >= 5 else (width, height)), kind)


def _scale_transparency(image: ImageFile, bits: int) -> None:
    """Bring a PNG's transparent colour, given in the file's bit depth, to the depth of Pillow's pixels."""
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and bits == 16:
        image.info["transparency"] = tuple(level >> 8 for level in transparent)
    elif isinstance(transparent, int) and image.mode == "L" and bits < 8:
        image.info["transparency"] = transparent * 255 // (2**bits - 1)
