"""Whether conditional writes of a store really exclude: every promotion and every result relies on it.

Some S3 servers take the conditions and ignore them, others check and write in two steps and so lose a race.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final
from uuid import uuid4

import structlog

from model_store.layout import SCRATCH
from model_store.object_store import ObjectStore
from producer.errors import ConfigurationError, PreconditionFailed, ShoalError

log = structlog.get_logger(__name__)

RACERS: Final = 16
ROUNDS: Final = 3
REMEDY: Final = (
    "Two promotions could both win, and an old result could replace a new one: use AWS S3, SeaweedFS 4.48 "
    "or later, or another store whose If-None-Match and If-Match hold under racing writers"
)


def check_conditions(store: ObjectStore) -> None:
    """Write, read back, and write again what must not be written: three requests, cheap at every start.

    Raises:
        ConfigurationError: the store gave back other bytes, or ignores conditions.
        TransientError, AccessDenied: it could not be asked.
    """
    key, data = f"{SCRATCH}conditions.json", b"{}"
    if not _refused(lambda: store.put(key, data, create_only=True)) and store.get(key).data != data:
        raise ConfigurationError("the store gives back other bytes than it was given")
    if not _refused(lambda: store.put(key, data, create_only=True)):
        raise ConfigurationError(f"this store ignores conditional writes. {REMEDY}")


def check_exclusion(store: ObjectStore, *, racers: int = RACERS, rounds: int = ROUNDS) -> None:
    """Let writers race to create an object, then to replace it: of each race exactly one must win.

    About a hundred small writes, and losers may be kept waiting (SeaweedFS: up to 5 s). In full for what
    starts seldom and promotes, with two racers once for a command that somebody waits for.

    Raises:
        ConfigurationError: more than one won, or what is stored is not the winner's.
        TransientError, AccessDenied: it could not be asked.
    """
    for _ in range(rounds):
        key = f"{SCRATCH}race-{uuid4().hex}.json"
        try:
            etag = _race(store, key, None, racers)
            _race(store, key, etag, racers)
        finally:
            _remove(store, key)


def _race(store: ObjectStore, key: str, etag: str | None, racers: int) -> str:
    start = Barrier(racers)

    def write(racer: int) -> str | None:
        start.wait(timeout=30)
        data = f"{racer} {etag}".encode()
        try:
            return store.put(key, data, create_only=etag is None, if_match=etag)
        except PreconditionFailed:
            return None

    with ThreadPoolExecutor(racers) as pool:
        winners = {racer: won for racer, won in enumerate(pool.map(write, range(racers))) if won}
    if len(winners) > 1:
        kind = "If-None-Match" if etag is None else "If-Match"
        raise ConfigurationError(
            f"conditional writes of this store do not exclude: of {racers} racing writers with {kind} "
            f"{len(winners)} won. {REMEDY}"
        )
    stored = store.get(key)
    if winners != {int(stored.data.split()[0]): stored.etag}:
        raise ConfigurationError(f"the store does not hold what the winner of a race wrote. {REMEDY}")
    return stored.etag


def _refused(write: Callable[[], object]) -> bool:
    try:
        write()
    except PreconditionFailed:
        return True
    return False


def _remove(store: ObjectStore, key: str) -> None:
    try:
        store.delete(key)
    except ShoalError as error:  # such as a policy without the right; what the probe found is what counts
        log.warning("a probe cannot be deleted and stays", key=key, reason=str(error))
