import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from model_store.object_store import MemoryStore, StoredObject
from producer.errors import ShoalError

RACERS = 12
T = TypeVar("T")


class SlowStore(MemoryStore):
    """Answers a read a moment late, so that who reads and then writes is overtaken in between."""

    def get(self, key: str) -> StoredObject:
        try:
            return super().get(key)
        finally:
            time.sleep(0.002)


def race(act: Callable[[int], T]) -> list[T | ShoalError]:
    """Call `act(0)` to `act(11)` from as many threads at once; gives each answer, or what was raised."""
    start = Barrier(RACERS)

    def run(racer: int) -> T | ShoalError:
        start.wait(timeout=10)
        try:
            return act(racer)
        except ShoalError as error:
            return error

    unhurried_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # at the usual 5 ms each would be done before the next begins
    try:
        with ThreadPoolExecutor(RACERS) as pool:
            return list(pool.map(run, range(RACERS)))
    finally:
        sys.setswitchinterval(unhurried_s)
