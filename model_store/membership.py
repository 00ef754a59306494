"""Which pictures a model learnt from: hashes of their names, so that an erased picture is not named by it.

`seen` (N,) uint64 in `reference.safetensors`, ascending. That another picture has the same hash: one in 10^14
for a snapshot of 100,000.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from producer.errors import BundleInvalid

SEEN: Final = "seen"


@dataclass(frozen=True, slots=True)
class Membership:
    """The pictures of one snapshot."""

    hashes: NDArray[np.uint64]  # (N,), ascending

    @classmethod
    def of_reference(cls, data: bytes) -> "Membership | None":
        """Read it from a bundle's `reference.safetensors`; None if that tells nothing of it.

        Raises:
            BundleInvalid: the file is damaged.
        """
        try:
            arrays = load(data)
        except SafetensorError as error:
            raise BundleInvalid(f"what a model has learnt from cannot be read: {error}") from error
        return cls(arrays[SEEN]) if SEEN in arrays else None

    def __contains__(self, name: str) -> bool:
        wanted = name_hashes([name])[0]
        at = int(np.searchsorted(self.hashes, wanted))
        return at < len(self.hashes) and bool(self.hashes[at] == wanted)


def name_hashes(names: Iterable[str], salt: str = "") -> NDArray[np.uint64]:
    """Give each name the first 8 bytes of its SHA-256: (N,)."""
    digests = (hashlib.sha256(f"{salt}{name}".encode("utf-8", "surrogateescape")).digest() for name in names)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], np.uint64)
