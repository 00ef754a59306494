"""One number to one broken picture: the same corpus and seed give the same bytes."""

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.corpus import Corpus

INTERESTING = (0, 1, 2, 127, 128, 255, 256, 4095, 32767, 32768, 65534, 65535, 2**31 - 1, 2**31, 2**32 - 1)
PNG = b"\x89PNG\r\n\x1a\n"
EDITS_EACH = (1, 1, 1, 1, 2, 2, 3, 4, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """A file to decode, and what makes it again."""

    name: str
    data: bytes
    seed: int | None = None  # None: a file of the corpus as it is


def mutant(corpus: Corpus, seed: int) -> Case:
    """Break one file of the corpus in a few places."""
    rng = random.Random(seed)  # noqa: S311 - to be made again, not to be secret
    name = rng.choice(sorted(corpus))
    data = bytearray(corpus[name])
    for _ in range(rng.choice(EDITS_EACH)):
        rng.choice(EDITS)(data, rng)
    if rng.random() < 0.1:
        other = corpus[rng.choice(sorted(corpus))]
        data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]
    if data.startswith(PNG) and rng.random() < 0.8:
        _repair_checksums(data)  # else nearly every PNG is refused for its checksum alone
    return Case(name, bytes(data), seed)


def _place(data: bytearray, rng: random.Random) -> int:
    """Choose where: half the time in the header, where sizes and offsets are."""
    return rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data)) if data else 0


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    new = rng.randbytes(rng.randint(1, 4))
    data[at : at + len(new)] = new


def _number(data: bytearray, rng: random.Random) -> None:
    at, value = _place(data, rng), rng.choice(INTERESTING)
    new = struct.pack(rng.choice("<>") + "I", value) if rng.random() < 0.5 else b""
    new = new or struct.pack(rng.choice("<>") + "H", value & 0xFFFF)
    data[at : at + len(new)] = new


def _delete(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randint(1, 64)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.randint(1, 256)] * rng.randint(1, 8)


def _cut(data: bytearray, rng: random.Random) -> None:
    if rng.random() < 0.3:
        del data[_place(data, rng) :]


EDITS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _overwrite, _number, _number, _delete, _repeat, _cut,
)  # fmt: skip


def _repair_checksums(data: bytearray) -> None:
    position = len(PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4
