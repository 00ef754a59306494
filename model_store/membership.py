"""Which pictures a model learnt from: a sorted file of hashes, so that an erased picture is not named by it.

`members.safetensors` holds `hashes` (N,) uint64, ascending: the first 8 bytes of the sha256 of each id. That
another picture has the same hash: one in 10^14 for a snapshot of 100,000.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from producer.errors import BundleInvalid


@dataclass(frozen=True, slots=True)
class Membership:
    """The pictures of one snapshot."""

    hashes: NDArray[np.uint64]  # (N,), ascending

    @classmethod
    def of(cls, image_ids: Iterable[str]) -> "Membership":
        """Note these pictures."""
        return cls(np.unique(np.fromiter(map(_hash, image_ids), np.uint64)))

    def __contains__(self, image_id: str) -> bool:
        at = int(np.searchsorted(self.hashes, _hash(image_id)))
        return at < len(self.hashes) and bool(self.hashes[at] == _hash(image_id))

    def to_bytes(self) -> bytes:
        """Write the file."""
        return save({"hashes": self.hashes})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Membership":
        """Read the file.

        Raises:
            BundleInvalid: it is damaged.
        """
        try:
            return cls(load(data)["hashes"].astype(np.uint64))
        except (SafetensorError, KeyError) as error:
            raise BundleInvalid(f"the list of a model's pictures cannot be read: {error}") from error


def _hash(image_id: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big"))
