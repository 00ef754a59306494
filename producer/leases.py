"""Messages in hand: taken and booked in one step, on the time of Redis, and held only while work goes on.

```
lane  ──reserve──▶  leased ──release──▶ gone
  ▲                   │ give_back, now or after a pause; or the lease ran out, since its holder is dead
  └───────────────────┘
```

A message is in its lane or in `shoal:leased`, never in neither: each move is one script, which Redis does
as a whole, and in which what is written comes before what is removed. Celery's own transport pops first
and books second, and what strikes in between loses it. After a pause a message goes to the end of its lane,
that of a dead holder to its head. The scripts may run when Redis is at `maxmemory`, so that a full broker
drains. Needs Redis 7 or Valkey.
"""

import itertools
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis

from producer.envelope import Letter, Unreadable

BELL: Final = "shoal:bell"  # wakes one idle worker per message; losing a ring costs `LOOK_S` at most
BELL_RINGS: Final = 64
DUE: Final = "shoal:leases"  # lease -> when it runs out, milliseconds of Redis's own clock
LEASED: Final = "shoal:leased"  # lease -> its lane, a newline, the message as it came
MOVED_AT_ONCE: Final = 100
TICKS_PER_LEASE: Final = 8

_HEAD: Final = """#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function to_lane(lease)
  local entry = redis.call('HGET', KEYS[3], lease)
  if not entry then return redis.call('ZREM', KEYS[2], lease) end
  local cut = string.find(entry, '\\n', 1, true)
  local push = string.sub(lease, 1, 2) == 'p:' and 'LPUSH' or 'RPUSH'
  redis.call(push, string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1))
  redis.call('HDEL', KEYS[3], lease)
  redis.call('ZREM', KEYS[2], lease)
  redis.call('LPUSH', KEYS[1], 1)
  return 1
end
"""
_RESERVE: Final = (
    _HEAD
    + """
for i = 4, #KEYS do
  local message = redis.call('LINDEX', KEYS[i], -1)
  if message then
    redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
    redis.call('HSET', KEYS[3], ARGV[1], KEYS[i] .. '\\n' .. message)
    redis.call('RPOP', KEYS[i])
    redis.call('RPOP', KEYS[1])
    return {KEYS[i], message}
  end
end
return false
"""
)
_KEEP: Final = (
    _HEAD
    + """
local lost = {}
for i = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, lease in ipairs(due) do to_lane(lease) end
return {#due, lost}
"""
)
_GIVE_BACK: Final = (
    _HEAD
    + """
if ARGV[2] == '0' then return to_lane(ARGV[1]) end
local entry = redis.call('HGET', KEYS[3], ARGV[1])
if not entry then return 0 end
redis.call('HSET', KEYS[3], 'p:' .. ARGV[1], entry)
redis.call('ZADD', KEYS[2], now + ARGV[2], 'p:' .. ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
"""
)
_REPLACE: Final = (
    _HEAD
    + """
local entry = redis.call('HGET', KEYS[3], ARGV[1])
if not entry then return 0 end
local lane = string.sub(entry, 1, string.find(entry, '\\n', 1, true) - 1)
for i = 2, #ARGV do
  redis.call('RPUSH', lane, ARGV[i])
  redis.call('LPUSH', KEYS[1], 1)
end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A message in hand."""

    name: str
    lane: str
    raw: bytes
    letter: Letter | Unreadable


class Leases:
    """The messages that this process holds. Thread-safe; outlives any one connection to the broker.

    A thread renews what is held, and puts back into its lane whatever anybody's lease ran out for.
    """

    def __init__(self, client: "redis.Redis", lease_s: float) -> None:
        """Hold nothing yet; `client` must not decode responses."""
        self._client = client
        self._lease_ms = int(lease_s * 1000)
        self.holder = secrets.token_hex(8)
        self._names = map(f"{self.holder}-{{}}".format, itertools.count())
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._in_work: set[str] = set()
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def reserve_command(self, name: str, lanes: Sequence[str]) -> tuple[str | int, ...]:
        """Give the command that takes the next message from the first lane that has one, under this name."""
        keys = (BELL, DUE, LEASED, *lanes)
        return ("EVAL", _RESERVE, len(keys), *keys, name, self._lease_ms)

    def new_name(self) -> str:
        """Make a name for a lease that no other has, in any process.

        Whoever asks for messages also looks for those of the dead, from the first time on.
        """
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._run, name="leases", daemon=True)
                self._keeper.start()
            return next(self._names)

    def hold(self, lease: Lease) -> None:
        """Take charge of what was reserved: from now on it is renewed."""
        with self._lock:
            self._held[lease.name] = lease

    def start(self, name: str) -> Lease | None:
        """Begin work on a message; None if it is no longer ours and somebody else does it."""
        with self._lock:
            lease = self._held.get(name)
            if lease is not None:
                self._in_work.add(name)
            return lease

    def release(self, name: str) -> None:
        """Be done with a message: it is gone for good. Does nothing if it is not held any more.

        Raises:
            redis.exceptions.RedisError: Redis was not reached; the lease will run out, and the message come
                again.
        """
        if self._let_go(name) is not None:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.zrem(DUE, name)
                pipe.hdel(LEASED, name)
                pipe.execute()

    def give_back(self, name: str, pause_s: float = 0.0) -> None:
        """Let somebody else have it, in `pause_s` seconds; does nothing if it is not held any more.

        Raises:
            redis.exceptions.RedisError: Redis was not reached; the lease will run out, which does the same.
        """
        if self._let_go(name) is not None:
            self._script(_GIVE_BACK, name, int(pause_s * 1000))

    def let_run_out(self, name: str) -> None:
        """Hold it no more, and say nothing to Redis: it comes again, whatever Celery acknowledges."""
        self._let_go(name)

    def replace(self, name: str, messages: Sequence[bytes]) -> bool:
        """Put others in a message's place, in one step; tells whether it was still there to be replaced.

        Raises:
            redis.exceptions.RedisError: Redis was not reached, and it may have been replaced or not.
        """
        return self._let_go(name) is not None and bool(self._script(_REPLACE, name, *messages))

    def give_back_waiting(self) -> None:
        """Give back all that nobody has begun to work on."""
        with self._lock:
            waiting = [name for name in self._held if name not in self._in_work]
        for name in waiting:
            self.give_back(name)

    def keep(self) -> None:
        """Renew what is held, and put back what ran out.

        Raises:
            redis.exceptions.RedisError: Redis was not reached.
        """
        with self._lock:
            held = list(self._held)
        _, lost = self._script(_KEEP, self._lease_ms, MOVED_AT_ONCE, *held)
        for name in lost:  # a pause too long, or a flushed Redis: others have it, or nobody
            self._let_go(name.decode())

    def close(self) -> None:
        """Give back what is held, and stop renewing."""
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join(self._lease_ms / 1000)
        try:
            for name in list(self._held):
                self.give_back(name)
        except (redis.exceptions.RedisError, OSError):  # the leases run out
            pass
        self._client.close()

    def __iter__(self) -> Iterator[Lease]:
        """List what is held."""
        with self._lock:
            return iter(list(self._held.values()))

    def _let_go(self, name: str) -> Lease | None:
        with self._lock:
            self._in_work.discard(name)
            return self._held.pop(name, None)

    def _script(self, script: str, *arguments: str | bytes | float) -> Any:  # noqa: ANN401 - as Redis answers
        return self._client.eval(script, 3, BELL, DUE, LEASED, *arguments)

    def _run(self) -> None:
        while not self._closed.wait(self._lease_ms / 1000 / TICKS_PER_LEASE):
            try:
                self.keep()
            except (redis.exceptions.RedisError, OSError):
                continue  # Celery says that the broker is away; nothing is renewed until it is back
