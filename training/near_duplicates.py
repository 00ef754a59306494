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

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.room import parts, release, room

BANDS: Final = 4
BAND_BITS: Final = 16
MAX_BITS: Final = 3  # of 64 that may differ
MAX_DIFFERENCE: Final = 4.0  # mean over the 8 x 8 colours, of 255
MAX_IN_BAND: Final = 64  # candidates of one band
COLOURS: Final = 8 * 8 * 3
LEAST_ROOM: Final = 1024  # pictures


class NearDuplicates:
    """The pictures kept so far, by how they look: 216 bytes each, of many 192 of them in a file."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin with none; `folder` is for the file, the system's for temporary files if None."""
        self._folder = folder
        self._hashes = array("Q")
        self._before = [array("i") for _ in range(BANDS)]  # by picture: the one before it in its band, or -1
        self._last = np.full((BANDS, 1 << BAND_BITS), -1, np.int32)
        self._in_band = np.zeros((BANDS, 1 << BAND_BITS), np.uint8)
        self._colours: NDArray[np.uint8] = np.empty((0, COLOURS), np.uint8)

    def seen(self, pixels: NDArray[np.uint8]) -> bool:
        """Tell whether a picture (S, S, 3) looks like one that was kept; if not, it is kept."""
        image = Image.fromarray(pixels)
        bits = dhash(image)
        colours = np.asarray(image.resize((8, 8), Image.Resampling.BOX)).reshape(-1)  # (192,)
        bands = [bits >> (nth * BAND_BITS) & (1 << BAND_BITS) - 1 for nth in range(BANDS)]
        for row in {row for nth, band in enumerate(bands) for row in self._rows(nth, band)}:
            if (self._hashes[row] ^ bits).bit_count() <= MAX_BITS and self._alike(row, colours):
                return True
        self._keep(bits, bands, colours)
        return False

    def _rows(self, nth: int, band: int) -> Iterator[int]:
        row = int(self._last[nth, band])
        while row >= 0:
            yield row
            row = self._before[nth][row]

    def _keep(self, bits: int, bands: list[int], colours: NDArray[np.uint8]) -> None:
        row = len(self._hashes)
        for nth, band in enumerate(bands):
            roomy = self._in_band[nth, band] < MAX_IN_BAND
            self._before[nth].append(int(self._last[nth, band]) if roomy else -1)
            if roomy:
                self._last[nth, band] = row
                self._in_band[nth, band] += 1
        if row == len(self._colours):
            larger = room((max(LEAST_ROOM, 2 * row), COLOURS), np.uint8, self._folder)
            for start, part in parts(self._colours, LEAST_ROOM):
                larger[start : start + len(part)] = part
                release(larger)
            self._colours = larger
        self._hashes.append(bits)
        self._colours[row] = colours
        if row % LEAST_ROOM == 0:
            release(self._colours)

    def _alike(self, row: int, colours: NDArray[np.uint8]) -> bool:
        difference = np.abs(self._colours[row].astype(np.int16) - colours).mean()
        return bool(difference <= MAX_DIFFERENCE)


def dhash(image: Image.Image) -> int:
    """Give the 64 bits of a picture."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    brighter = (grey[:, :-1] > grey[:, 1:]).reshape(-1)
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
