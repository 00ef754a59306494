"""How often a message was tried, and how many workers died of it: counted in Redis, before work begins."""

import hashlib
from typing import Final, NamedTuple

import redis

from producer.leases import DUE, Lease

PREFIX: Final = "shoal:work:"
FORGOTTEN_AFTER_S: Final = 7 * 24 * 3600
LINES_KEPT: Final = 20

# a field `w:{lease}` stands while somebody works; if its lease is gone and the field is not, that one died
_BEGIN: Final = """#!lua flags=allow-oom
redis.call('HSETNX', KEYS[1], 'message_id', ARGV[2])
local deaths = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'w:' and field ~= 'w:' .. ARGV[1] then
    if not redis.call('ZSCORE', KEYS[2], string.sub(field, 3)) then deaths = deaths + 1 end
  end
end
redis.call('HSET', KEYS[1], 'w:' .. ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
local more = redis.call('HMGET', KEYS[1], 'message_id', 'failures', 'history')
return {deaths, more[1], more[2] or '0', more[3] or ''}
"""
_END: Final = """#!lua flags=allow-oom
if redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then
  local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
  if failures <= tonumber(ARGV[3]) then
    local before = redis.call('HGET', KEYS[1], 'history') or ''
    redis.call('HSET', KEYS[1], 'history', before .. ARGV[2] .. '\\n')
  end
  return failures
end
return redis.call('HINCRBY', KEYS[1], 'pauses', 1)
"""


class Attempt(NamedTuple):
    """What is known of a message when work on it begins."""

    message_id: str  # the same at every attempt, also if the sender gave none
    deaths: int  # times that it was begun, and nobody came back: its lease is gone, and nothing was said
    failures: int  # times that somebody came back and it has to be tried again
    history: tuple[str, ...]  # what the failures were

    @property
    def number(self) -> int:
        """Count this attempt, from 1."""
        return self.failures + self.deaths + 1


class Attempts:
    """The record of every message in work. Thread-safe; also writes when Redis is at `maxmemory`.

    All methods raise redis.exceptions.RedisError when Redis is not reached.
    """

    def __init__(self, client: "redis.Redis") -> None:
        """Use a client that does not decode responses."""
        self._client = client

    def begin(self, lease: Lease, message_id: str) -> Attempt:
        """Count an attempt before its work begins.

        Args:
            lease: under which it is done.
            message_id: the id it has from now on, unless an earlier attempt gave it one.
        """
        deaths, known_as, failures, history = self._client.eval(
            _BEGIN, 2, _key(lease), DUE, lease.name, message_id, FORGOTTEN_AFTER_S
        )
        lines = tuple(history.decode(errors="replace").splitlines())
        return Attempt(known_as.decode(), int(deaths), int(failures), lines)

    def pause(self, lease: Lease) -> int:
        """Take an attempt back: nothing was wrong, and it will be begun again; tells how often so far."""
        return int(self._client.eval(_END, 1, _key(lease), lease.name, "", LINES_KEPT))

    def failed(self, lease: Lease, reason: str) -> None:
        """Say that an attempt ended, and why it will be tried again."""
        line = " ".join(reason.split())[:500] or "no reason given"
        self._client.eval(_END, 1, _key(lease), lease.name, line, LINES_KEPT)

    def done(self, lease: Lease) -> None:
        """Forget a message that has its outcome."""
        self._client.delete(_key(lease))


def _key(lease: Lease) -> str:
    """Name the record after the message itself: what its sender calls it may be another's name too."""
    return PREFIX + hashlib.sha256(lease.raw).hexdigest()[:32]
