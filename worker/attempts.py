"""How often a message was tried, and how many workers died of it: counted in Redis, before work begins."""

import hashlib
from typing import Final, NamedTuple

import redis

PREFIX: Final = "shoal:work:"
FORGOTTEN_AFTER_S: Final = 7 * 24 * 3600
LINES_KEPT: Final = 20

# `deaths` is raised before work and lowered by whoever comes back to say how it went
_BEGIN: Final = """#!lua flags=allow-oom
local deaths = redis.call('HINCRBY', KEYS[1], 'deaths', 1) - 1
redis.call('HSETNX', KEYS[1], 'message_id', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local more = redis.call('HMGET', KEYS[1], 'message_id', 'failures', 'history')
return {deaths, more[1], more[2] or '0', more[3] or ''}
"""
_END: Final = """#!lua flags=allow-oom
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'deaths', -1)
if ARGV[1] ~= '' then
  local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
  if failures <= tonumber(ARGV[2]) then
    local before = redis.call('HGET', KEYS[1], 'history') or ''
    redis.call('HSET', KEYS[1], 'history', before .. ARGV[1] .. '\\n')
  end
end
return 1
"""


class Attempt(NamedTuple):
    """What is known of a message when work on it begins."""

    message_id: str  # the same at every attempt, also if the sender gave none
    deaths: int  # times that it was begun, and nobody came back
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

    def begin(self, task_id: str, message_id: str) -> Attempt:
        """Count an attempt before its work begins.

        Args:
            task_id: what the sender called it; any text.
            message_id: the id it has from now on, unless an earlier attempt gave it one.
        """
        deaths, known_as, failures, history = self._client.eval(
            _BEGIN, 1, _key(task_id), message_id, FORGOTTEN_AFTER_S
        )
        lines = tuple(history.decode(errors="replace").splitlines())
        return Attempt(known_as.decode(), int(deaths), int(failures), lines)

    def pause(self, task_id: str) -> None:
        """Take an attempt back: it will be begun again, and nothing was wrong with it."""
        self._client.eval(_END, 1, _key(task_id), "", LINES_KEPT)

    def failed(self, task_id: str, reason: str) -> None:
        """Say that an attempt ended, and why it will be tried again."""
        line = " ".join(reason.split())[:500] or "no reason given"
        self._client.eval(_END, 1, _key(task_id), line, LINES_KEPT)

    def done(self, task_id: str) -> None:
        """Forget a message that has its outcome."""
        self._client.delete(_key(task_id))


def _key(task_id: str) -> str:
    return PREFIX + hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
