"""Pictures that look the same: one photograph in ten sizes and qualities is learnt from once.

```
pixels (S, S, 3) -> grey, 9 x 8 -> is each cell brighter than its right neighbour -> 64 bits (dHash)
                 -> colours, 8 x 8 -> mean difference to those with nearly the same bits
```

The bits find candidates, the colours decide: flat pictures (a white page, a digit on black) share most
bits and are not the same. Candidates share at least one of four bands of 16 bits, which all within three
bits do; of a crowded band only the first few are looked at, so that the work per picture is bounded, and
there a near duplicate may be missed.
Source of the hash: N. Krawetz (2013), "Kind of Like That".
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BANDS: Final = 4
BAND_BITS: Final = 16
MAX_BITS: Final = 3  # of 64 that may differ
MAX_DIFFERENCE: Final = 4.0  # mean over the 8 x 8 colours, of 255
MAX_IN_BAND: Final = 64  # candidates of one band


class NearDuplicates:
    """The pictures kept so far, by how they look."""

    def __init__(self) -> None:
        self._bands: dict[tuple[int, int], list[int]] = {}
        self._hashes: list[int] = []
        self._colours: list[NDArray[np.uint8]] = []

    def seen(self, pixels: NDArray[np.uint8]) -> bool:
        """Tell whether a picture (S, S, 3) looks like one that was kept; if not, it is kept."""
        image = Image.fromarray(pixels)
        bits = dhash(image)
        colours = np.asarray(image.resize((8, 8), Image.Resampling.BOX)).reshape(-1)  # (192,)
        bands = [(nth, bits >> (nth * BAND_BITS) & (1 << BAND_BITS) - 1) for nth in range(BANDS)]
        candidates = {row for band in bands for row in self._bands.get(band, ())}
        for row in candidates:
            if (self._hashes[row] ^ bits).bit_count() <= MAX_BITS and self._alike(row, colours):
                return True
        for band in bands:
            rows = self._bands.setdefault(band, [])
            if len(rows) < MAX_IN_BAND:
                rows.append(len(self._hashes))
        self._hashes.append(bits)
        self._colours.append(colours)
        return False

    def _alike(self, row: int, colours: NDArray[np.uint8]) -> bool:
        difference = np.abs(self._colours[row].astype(np.int16) - colours).mean()
        return bool(difference <= MAX_DIFFERENCE)


def dhash(image: Image.Image) -> int:
    """Give the 64 bits of a picture."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    brighter = (grey[:, :-1] > grey[:, 1:]).reshape(-1)
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
