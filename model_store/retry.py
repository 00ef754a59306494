"""Tries a request of the store again: by class of error, with backoff and jitter, for a bounded time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

from producer.errors import StoreBusy, StoreUnavailable

PAUSE_S: Final = 0.1  # before the first retry; doubles with each
BUSY_PAUSE_S: Final = 0.5  # likewise, when the store asked for fewer requests
LONGEST_PAUSE_S: Final = 2.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How long one request is tried: at most `max_retries` more times, none begun after `retry_for_s`."""

    max_retries: int
    retry_for_s: float

    def __call__(self, request: Callable[[], T]) -> T:
        """Do the request until it succeeds or is refused for good.

        Raises:
            StoreUnavailable: the last one, when it was tried often or long enough.
            PermanentError: at once.
        """
        give_up_at = time.monotonic() + self.retry_for_s
        for retries in count():
            try:
                return request()
            except StoreUnavailable as error:
                first_s = BUSY_PAUSE_S if isinstance(error, StoreBusy) else PAUSE_S
                # jitter: clients that failed together must not come back together
                pause_s = random.uniform(0.3, 1) * min(LONGEST_PAUSE_S, first_s * 2.0 ** min(retries, 10))  # noqa: S311
                if retries >= self.max_retries or time.monotonic() + pause_s > give_up_at:
                    raise
            time.sleep(pause_s)
        raise AssertionError("count() does not end")
