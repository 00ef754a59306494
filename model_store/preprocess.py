"""From a picture as Pillow opened it to the pixels that the network sees.

```
any mode, any size, loaded
   16 bit and float      scaled to 8 bit, not clipped
   palette, CMYK, ...    RGB
   alpha                 premultiplied, composited on white
   resize                (S, S), bilinear with antialiasing
   orientation           as displayed
(S, S, 3) uint8
```

Alpha is composited and orientation applied after the resize: the result is the same, on fewer pixels.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from model_store.exif import TRANSPOSES

REDUCING_GAP = 3.0  # large pictures are first shrunk by a whole number, to three times S or more

Box = tuple[float, float, float, float]


class Preprocess(BaseModel):
    """How pictures become the network's input: part of a bundle's manifest, so serving equals training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size: int = Field(32, ge=4, le=1024, description="side S of the square input, in pixels")
    resize: Literal["squash"] = Field("squash", description="the whole picture squeezed to S x S, bilinear")


def to_pixels(
    image: Image.Image, preprocess: Preprocess, *, orientation: int = 1, box: Box | None = None
) -> NDArray[np.uint8]:
    """Bring a loaded picture into the network's input.

    Args:
        image: any size, any of Pillow's modes.
        preprocess: the model's.
        orientation: EXIF's, 1 to 8.
        box: the part of `image` that is the picture, left, top, right, bottom; all of it if None.

    Returns:
        (S, S, 3) uint8, RGB, contiguous and writable.

    Raises:
        ValueError: Pillow cannot convert the mode to RGB.
    """
    square = _resize(_resizable(image), preprocess, box)
    transpose = TRANSPOSES.get(orientation)
    if transpose is not None:
        square = square.transpose(transpose)
    if square.mode == "RGBa":
        pixels = np.asarray(square)
        # premultiplied, so no colour is above its alpha and the sum stays within 255
        return pixels[..., :3] + (np.uint8(255) - pixels[..., 3:])
    return np.array(square if square.mode == "RGB" else square.convert("RGB"))


def _resize(image: Image.Image, preprocess: Preprocess, box: Box | None) -> Image.Image:
    side = preprocess.input_size
    if image.size == (side, side) and box is None:
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR, box, reducing_gap=REDUCING_GAP)


def _resizable(image: Image.Image) -> Image.Image:
    """Convert to RGB, L or RGBa (premultiplied): the modes in which averaging pixels means something."""
    if image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretch(np.asarray(image, np.float32)))
    if image.has_transparency_data:
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        return with_alpha.convert("RGBa")
    if image.mode in ("RGB", "L"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Keep the high byte, and make the transparent grey, if there is one, white."""
    values = np.asarray(image)
    grey = (values >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _stretch(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map measurements without a range of their own (TIFF only) from [min, max] to [0, 255]; NaN to 0."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    scaled: NDArray[np.float32] = (finite - low) * (255 / (high - low or 1))
    return scaled.astype(np.uint8)
