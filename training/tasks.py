"""The Celery tasks of the trainer: thin."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, get_args

import structlog
from celery import Celery

from producer.broker import CHECK, RETRAIN
from producer.errors import TransientError
from producer.signing import Keyring
from training.run_record import Trigger

if TYPE_CHECKING:
    from training.check import Check
    from training.retrain import Retraining

log = structlog.get_logger(__name__)


class Context(Protocol):
    """What the process hangs its parts on."""

    keyring: Keyring

    def retraining(self, collection: str) -> "Retraining":
        """Give the retraining of one collection."""

    def check(self, collection: str) -> "Check":
        """Give the check of one collection: the same one each time."""


_context: Context | None = None


def serve_with(context: Context) -> None:
    """Give the tasks of this process what they work with."""
    global _context  # noqa: PLW0603 - Celery calls tasks by name; this is where the process hangs its parts
    _context = context


def register(app: Celery) -> None:
    """Add the tasks to an app. Acknowledged early: the run's slot, not the message, guards the run."""
    app.task(retrain, name=RETRAIN, acks_late=False, typing=False)  # beat adds the slot when it publishes
    app.task(check, name=CHECK, acks_late=False, typing=False)


def retrain(collection: str, slot: str, **more: Any) -> None:  # noqa: ANN401 - fields of later versions
    """Do one run; how it ended stands in `runs/{slot}.json`."""
    with structlog.contextvars.bound_contextvars(collection=collection, slot=slot):
        if _refused(RETRAIN, {"collection": collection, "slot": slot, **more}):
            return
        known: Trigger = more["trigger"] if more.get("trigger") in get_args(Trigger) else "by hand"
        try:
            _wired().retraining(collection).run(slot, known)
        except Exception:
            log.exception("run failed")


def check(collection: str, **more: Any) -> None:  # noqa: ANN401 - fields of later versions
    """Look after dead runs, the ledger and the triggers of one collection, and do the run that is due."""
    with structlog.contextvars.bound_contextvars(collection=collection):
        if _refused(CHECK, {"collection": collection, **more}):
            return
        try:
            _wired().check(collection).run()
        except TransientError as error:
            log.warning("the check could not be done, the next one will be", reason=str(error))
        except Exception:
            log.exception("check failed")


def _refused(task: str, fields: Mapping[str, Any]) -> bool:
    """Tell whether a request must not be done, and say why."""
    refusal = _wired().keyring.refusal(task, fields)
    if refusal is not None:
        log.error("a request is refused", task=task, reason=refusal)
    return refusal is not None


def _wired() -> Context:
    if _context is None:
        raise RuntimeError("this trainer is not wired")
    return _context
