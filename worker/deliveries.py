"""What becomes of each message in hand: done, tried again, taken apart, or kept as dead.

```
unreadable, not rightly signed, or breaks the contract ─▶ dead/
expired ────────────────────────────────────────▶ results `failed`
no model of its collection, for a day ───────────▶ results `failed`, dead/
done ───────────────────────────────────────────▶ results; pictures that failed for good also in dead/
an error that may pass, or one of ours ─────────▶ given back, for a pause that grows
three workers died of it ─▶ two halves, each done alone; one dies of a half ─▶ halves again
one picture, and workers die of it ─────────────▶ result `failed`, dead/
```

Nothing escapes: whatever happens, the message is gone with its outcome stored, or it is given back, or its
lease runs out, which gives it back.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import redis
import structlog

from model_store.dead_letters import DeadLetters
from producer.contracts import ClassifyImages, ErrorCode, ImageRef
from producer.envelope import Letter, Unreadable
from producer.errors import InvalidReference, NoChampion, TransientError
from producer.leases import Lease, Leases
from producer.signing import Keyring
from producer.ulid import derived_ulid, new_ulid
from worker.admitted import admitted
from worker.attempts import Attempt, Attempts
from worker.blame import deaths_left, needs_witness
from worker.halves import halves
from worker.metrics import Metrics
from worker.settings import WorkerSettings
from worker.turnstile import Turnstile
from worker.undertaker import Undertaker

log = structlog.get_logger(__name__)

REDIS_AWAY: Final = redis.exceptions.RedisError
LONGEST_WAIT_FOR_MODEL_S: Final = 10.0


class Classifies(Protocol):
    """What answers a message: see worker.classifier."""

    def classify(self, message: ClassifyImages, attempt: int) -> list[ImageRef]:
        """Give every picture its result; return those that failed for good."""

    def fail(self, message: ClassifyImages, attempt: int, code: ErrorCode, detail: str) -> None:
        """Give every picture a `failed` result."""


class Deliveries:
    """Handles the messages of one process. Thread-safe."""

    def __init__(
        self,
        *,
        leases: Leases,
        attempts: Attempts,
        classifier: Classifies,
        dead_letters: Callable[[str], DeadLetters],
        settings: WorkerSettings,
        keyring: Keyring,
        metrics: Metrics,
    ) -> None:
        self._leases = leases
        self._attempts = attempts
        self._classifier = classifier
        self._undertaker = Undertaker(dead_letters, metrics)
        self._metrics = metrics
        self._settings = settings
        self._keyring = keyring
        self._turnstile = Turnstile()
        self._started = time.monotonic()

    def handle(self, name: str) -> None:
        """Bring the message under this lease to its outcome, or give it back; never raises for either."""
        lease = self._leases.start(name)
        if lease is None:
            log.warning("a lease ran out before its message was begun; others do it")
            return
        try:
            self._handle(lease)
        except REDIS_AWAY as error:
            self._leases.let_run_out(name)  # else Celery's acknowledgement would release it, undone
            log.warning(
                "the broker is away; the lease will run out, and the message come again", reason=str(error)
            )
        except Exception as error:
            log.exception("message could not be handled, and will be tried again", reason=str(error))
            self._give_back(lease, self._settings.max_backoff_s)

    def abandon(self) -> None:
        """Take back the attempts in work, of which the process will not wait: they are no deaths."""
        try:
            for lease in self._leases:
                self._attempts.pause(lease)
        except REDIS_AWAY as error:
            log.warning("the broker is away; what is abandoned counts as a death", reason=str(error))

    def _handle(self, lease: Lease) -> None:
        letter = lease.letter
        if isinstance(letter, Unreadable):
            self._undertaker.quarantine(lease, letter)
            self._leases.release(lease.name)
            return
        if letter.split is None:
            with self._turnstile.together():
                attempt = self._attempts.begin(lease, new_ulid())
                if not attempt.deaths:
                    self._attempt(lease, letter, attempt)
                    return
                self._attempts.pause(lease)
        with self._turnstile.alone():
            attempt = self._attempts.begin(lease, new_ulid())
            self._attempt(lease, letter, attempt)

    def _attempt(self, lease: Lease, letter: Letter, attempt: Attempt) -> None:
        try:
            self._work(lease, letter, attempt)
        except REDIS_AWAY:
            raise
        except Exception as error:  # an outcome that cannot be stored, say; else it would look like a death
            log.exception("an outcome could not be stored", attempt=attempt.number)
            self._try_again(lease, attempt, f"{type(error).__name__}: {error}")

    def _work(self, lease: Lease, letter: Letter, attempt: Attempt) -> None:
        self._metrics.attempt_begun()
        fields = {"message_id": attempt.message_id, **letter.fields}
        with structlog.contextvars.bound_contextvars(message_id=fields["message_id"]):
            try:
                message = admitted(fields, self._keyring)
            except InvalidReference as error:
                self._undertaker.bury(lease, letter, attempt, str(error))
            else:
                if not self._brought_to_an_end(lease, letter, message, attempt):
                    return
        self._leases.release(lease.name)
        self._attempts.done(lease)  # after: who finds the record knows that it was begun before

    def _brought_to_an_end(
        self, lease: Lease, letter: Letter, message: ClassifyImages, attempt: Attempt
    ) -> bool:
        """Do one attempt; tells whether the message has its outcome. Else it was given back or replaced."""
        left = deaths_left(letter, message, attempt.deaths)
        if left <= 0:
            return self._take_apart(lease, letter, message, attempt)
        too_young_s = self._started + self._settings.witness_after_s - time.monotonic()
        if needs_witness(message, left) and too_young_s > 0:
            self._attempts.pause(lease)
            self._give_back(lease, too_young_s)
            return False
        expires_at = message.expires_at or letter.expires_at
        begun_before = attempt.deaths or attempt.failures or letter.split is not None
        if expires_at is not None and datetime.now(UTC) > expires_at and not begun_before:
            return self._said_expired(lease, message, attempt, expires_at)
        return self._classified(lease, message, attempt)

    def _said_expired(
        self, lease: Lease, message: ClassifyImages, attempt: Attempt, expires_at: datetime
    ) -> bool:
        detail = f"it was to be done before {expires_at.isoformat()}"
        try:
            self._classifier.fail(message, attempt.number, "message.expired", detail)
        except TransientError as error:
            log.warning("that a message expired cannot be stored yet", reason=str(error))
            self._attempts.pause(lease)  # it was not begun
            self._give_back(lease, self._settings.max_backoff_s)
            return False
        log.warning("message expired", pictures=len(message.images), reason=detail)
        return True

    def _classified(self, lease: Lease, message: ClassifyImages, attempt: Attempt) -> bool:
        try:
            failed = self._classifier.classify(message, attempt.number)
        except NoChampion as error:
            return self._waited_for_model(lease, message, attempt, str(error))
        except Exception as error:  # noqa: BLE001 - all are counted, and said
            may_pass = isinstance(error, TransientError)
            say = log.warning if may_pass else log.exception
            say("an attempt failed", attempt=attempt.number, reason=str(error))
            reason = str(error) if may_pass else f"{type(error).__name__}: {error}"
            if may_pass or attempt.number < self._settings.max_attempts:
                self._try_again(lease, attempt, reason)
                return False
            self._give_up(message, attempt, f"{type(error).__name__} in the worker", reason)
            return True
        if failed:
            # under an id of its own: done again under the old one, it would take its neighbours' rows
            part_id = derived_ulid(message.message_id, "failed")
            rest = message.model_copy(
                update={"message_id": part_id, "images": tuple(failed), "part_of": message.whole}
            )
            self._undertaker.keep(rest, attempt, f"attempts are used up; part of {message.message_id}")
        return True

    def _waited_for_model(self, lease: Lease, message: ClassifyImages, attempt: Attempt, why: str) -> bool:
        waits = self._attempts.pause(lease)
        if waits * LONGEST_WAIT_FOR_MODEL_S > self._settings.model_patience_s:
            self._give_up(message, attempt, why, "its collection got no model", "model.unavailable")
            return True
        pause_s = self._settings.model_poll_s * 2 ** min(waits - 1, 10)
        self._give_back(lease, min(pause_s, LONGEST_WAIT_FOR_MODEL_S))
        return False

    def _try_again(self, lease: Lease, attempt: Attempt, reason: str) -> None:
        self._attempts.failed(lease, reason)
        self._metrics.attempt_failed()
        longest_s = min(2.0 ** min(attempt.number - 1, 10), self._settings.max_backoff_s)
        self._give_back(lease, longest_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret

    def _take_apart(self, lease: Lease, letter: Letter, message: ClassifyImages, attempt: Attempt) -> bool:
        whole = letter.split or message.message_id
        if len(message.images) == 1:
            log.error("a picture kills workers", image_id=message.images[0].image_id, deaths=attempt.deaths)
            self._give_up(
                message, attempt, "the worker died of this picture", f"workers died of it; split from {whole}"
            )
            return True
        letters = halves(message, whole, self._keyring)
        log.error(
            "workers died of a message, it is taken apart", deaths=attempt.deaths, images=len(message.images)
        )
        if self._leases.replace(lease.name, letters):
            self._attempts.done(lease)
        return False

    def _give_up(
        self,
        message: ClassifyImages,
        attempt: Attempt,
        detail: str,
        error: str,
        code: ErrorCode = "internal",
    ) -> None:
        self._classifier.fail(message, attempt.number, code, detail)
        self._undertaker.keep(message, attempt, error)

    def _give_back(self, lease: Lease, pause_s: float) -> None:
        try:
            self._leases.give_back(lease.name, pause_s)
        except REDIS_AWAY as error:
            log.warning("the broker is away; the lease will run out", reason=str(error))
