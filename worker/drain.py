"""The end of a worker: it takes no more, finishes what it has, and shows what it waits for."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from worker.progress import Progress

log = structlog.get_logger(__name__)

SAY_EVERY_S: Final = 1.0


def drain(stop_pool: Callable[[], object], progress: Progress, timeout_s: float) -> bool:
    """Wait for the messages in work, telling each second which they are; tells whether all were finished.

    Args:
        stop_pool: returns when nothing is in work any more.
        progress: of this worker.
        timeout_s: at most.
    """
    stopping = threading.Thread(target=stop_pool, name="drain", daemon=True)
    stopping.start()
    give_up_at = time.monotonic() + timeout_s
    while stopping.is_alive():
        left_s = give_up_at - time.monotonic()
        if left_s <= 0:
            log.warning(
                "given back, they took too long to end", in_work_s=progress.ages_s(), limit_s=timeout_s
            )
            return False
        if progress.in_work():
            log.info("draining", in_work_s=progress.ages_s(), left_s=round(left_s, 1))
        stopping.join(min(SAY_EVERY_S, left_s))
    log.info("drained")
    return True
