"""Keeps under `dead/` what will not be done, with its history."""

from collections.abc import Callable

import structlog

from model_store.dead_letters import DeadLetters
from producer.contracts import ClassifyImages
from producer.envelope import Letter, Unreadable
from producer.leases import Lease
from producer.ulid import new_ulid
from worker.attempts import Attempt
from worker.metrics import Metrics

log = structlog.get_logger(__name__)


class Undertaker:
    """The dead letters, as a worker writes them. All methods raise StoreUnavailable, AccessDenied."""

    def __init__(self, dead_letters: Callable[[str], DeadLetters], metrics: Metrics) -> None:
        """Take what gives the dead letters of a collection."""
        self._dead_letters = dead_letters
        self._metrics = metrics

    def keep(self, message: ClassifyImages, attempt: Attempt, error: str) -> None:
        """Keep a message that was tried and given up."""
        fields = message.model_dump(mode="json", exclude_none=True)
        key = self._dead_letters(message.collection).keep(
            message.message_id, fields, error, history=_history(attempt), queue=message.lane
        )
        self._metrics.letter_kept("given up")
        log.error("message kept as dead", kept_at=key, reason=error)

    def bury(self, lease: Lease, letter: Letter, attempt: Attempt, why: str) -> None:
        """Keep a message that may not or cannot be done; trying it again would change nothing."""
        keep, history = self._dead_letters("default").keep, _history(attempt)
        as_it_came = {"task_id": letter.task_id, "args": letter.args, "kwargs": letter.fields}
        try:
            key = keep(attempt.message_id, as_it_came, why, history=history, queue=lease.lane)
        except RecursionError:  # nested as deep as Python's JSON reads, and deeper than it writes
            key = keep(new_ulid(), None, why, history=history, queue=lease.lane, raw=lease.raw)
        self._metrics.letter_kept("refused")
        log.error("message refused", kept_at=key, reason=why)

    def quarantine(self, lease: Lease, problem: Unreadable) -> None:
        """Keep what cannot be read, byte for byte."""
        key = self._dead_letters("default").keep(
            new_ulid(), None, f"cannot be read: {problem}", queue=lease.lane, raw=lease.raw
        )
        self._metrics.letter_kept("unreadable")
        log.error("message cannot be read, and is kept", kept_at=key, reason=str(problem))


def _history(attempt: Attempt) -> list[str]:
    return [*attempt.history, *["a worker died of it"] * attempt.deaths]
