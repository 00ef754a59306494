"""Message ids: 26 characters that sort by the millisecond in which they were made.

Source: the ULID specification, https://github.com/ulid/spec (base 32; 48 bits of time, 80 of chance).
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999
PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"


def new_ulid(now_s: float | None = None) -> str:
    """Make an id for this moment (or for `now_s`, seconds since 1970)."""
    milliseconds = int((time.time() if now_s is None else now_s) * 1000)
    number = (milliseconds << 80) | secrets.randbits(80)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def derived_ulid(ulid: str, what: str) -> str:
    """Make an id of the same moment for something that follows from another: always the same one."""
    number = int.from_bytes(hashlib.sha256(f"{ulid}/{what}".encode()).digest()[:10])
    return ulid[:10] + "".join(ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))


def ulid_time(ulid: str) -> datetime:
    """Tell when an id was made, in UTC; accepts whatever matches `PATTERN`, up to the end of year 9999."""
    milliseconds = 0
    for letter in ulid[:10]:
        milliseconds = milliseconds * 32 + ALPHABET.index(letter)
    if milliseconds > LAST_MILLISECOND:  # a stranger's id; datetime would raise
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
