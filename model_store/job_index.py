"""Which part of a complete job a picture is in: 12 bytes per picture, by hashes of their names.

```
index.safetensors    pictures (N,) uint64, ascending; parts (N,) uint32, rows of names; names (M, 26) uint8
```
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from producer.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class JobIndex:
    """The pictures of one job."""

    pictures: NDArray[np.uint64]
    parts: NDArray[np.uint32]
    names: tuple[str, ...]  # message ids

    @classmethod
    def of(cls, parts: Sequence[tuple[str, NDArray[np.uint64]]]) -> "JobIndex":
        """Make it from message ids, each with the pictures of its part."""
        each = [pictures for _, pictures in parts]
        pictures = np.concatenate(each) if each else np.empty(0, np.uint64)
        where = np.repeat(np.arange(len(each), dtype=np.uint32), [len(one) for one in each])
        order = np.argsort(pictures, kind="stable")
        return cls(pictures[order], where[order], tuple(name for name, _ in parts))

    def encode(self) -> bytes:
        """Write it."""
        names = np.frombuffer("".join(self.names).encode("ascii"), np.uint8).reshape(len(self.names), -1)
        return save({"pictures": self.pictures, "parts": self.parts, "names": names})

    @classmethod
    def decode(cls, data: bytes, key: str) -> "JobIndex":
        """Read it.

        Raises:
            StoreUnavailable: it is damaged; says which.
        """
        try:
            arrays = load(data)
            names = tuple(row.tobytes().decode("ascii") for row in arrays["names"])
            return cls(arrays["pictures"], arrays["parts"], names)
        except (SafetensorError, KeyError, ValueError) as error:
            raise StoreUnavailable(f"{key} is no index of a job: {error}") from error

    def parts_with(self, pictures: Iterable[int]) -> set[str]:
        """Give the message ids of the parts in which any of these pictures is."""
        found: set[int] = set()
        for picture in pictures:
            first = int(np.searchsorted(self.pictures, np.uint64(picture), "left"))
            after = int(np.searchsorted(self.pictures, np.uint64(picture), "right"))
            found.update(int(part) for part in self.parts[first:after])
        return {self.names[part] for part in found}
