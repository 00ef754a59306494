"""Which uploads a ledger knows, in 8 bytes each."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.object_store import ObjectInfo

MERGED_AT: Final = 1 << 20


class Answered:
    """A set of uploads, by 64-bit digest of bucket and key.

    An upload that is not in the set is taken for one that is with a chance of size / 2**64: among a
    hundred million uploads and as many rows, once in two thousand sweeps.
    """

    def __init__(self, uploads: Iterable[tuple[str, str]]) -> None:
        """Read (bucket, key) pairs; any may come often."""
        self._known: NDArray[np.uint64] = np.empty(0, np.uint64)
        new = array("Q")
        for bucket, key in uploads:
            new.append(_digest(bucket, key))
            if len(new) >= MERGED_AT:
                self._merge(new)
                new = array("Q")
        self._merge(new)

    def __len__(self) -> int:
        return len(self._known)

    def without(self, bucket: str, objects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Leave those that are not in the set, in their order."""
        digests = np.fromiter((_digest(bucket, info.key) for info in objects), np.uint64, len(objects))
        # two searches, not isin: that would sort the whole set anew for each page
        first, after = (np.searchsorted(self._known, digests, side) for side in ("left", "right"))
        return [info for info, absent in zip(objects, first == after, strict=True) if absent]

    def _merge(self, new: "array[int]") -> None:
        self._known = np.union1d(self._known, np.frombuffer(new, np.uint64)) if new else self._known


def _digest(bucket: str, key: str) -> int:
    name = f"{bucket}/{key}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
