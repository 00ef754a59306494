"""Stable names for clusters. Never reused, so that an id always means what it meant."""

import secrets
from collections.abc import Collection

from producer.ulid import ALPHABET

LENGTH = 6  # 32 ** 6: a thousand million, so that chance does not bring one back


def fresh_ids(n: int, taken: Collection[str] = ()) -> list[str]:
    """Make `n` ids such as `c_9f2k7m` that are not among `taken`."""
    ids: list[str] = []
    while len(ids) < n:
        candidate = "c_" + "".join(secrets.choice(ALPHABET.lower()) for _ in range(LENGTH))
        if candidate not in taken and candidate not in ids:
            ids.append(candidate)
    return ids
