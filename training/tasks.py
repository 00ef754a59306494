"""The Celery task of the trainer: thin."""

from typing import Any, Protocol

import structlog
from celery import Celery

from producer.broker import RETRAIN
from producer.signing import Keyring
from training.retrain import Retraining

log = structlog.get_logger(__name__)


class Context(Protocol):
    """What the process hangs its parts on."""

    keyring: Keyring

    def retraining(self, collection: str) -> Retraining:
        """Give the retraining of one collection."""


_context: Context | None = None


def serve_with(context: Context) -> None:
    """Give the tasks of this process what they work with."""
    global _context  # noqa: PLW0603 - Celery calls tasks by name; this is where the process hangs its parts
    _context = context


def register(app: Celery) -> None:
    """Add the task to an app. Acknowledged early: the run's slot, not the message, guards the run."""
    app.task(retrain, name=RETRAIN, acks_late=False, typing=False)  # beat adds the slot when it publishes


def retrain(collection: str, slot: str, **more: Any) -> None:  # noqa: ANN401 - fields of later versions
    """Do one run; how it ended stands in `runs/{slot}.json`."""
    if _context is None:
        raise RuntimeError("this trainer is not wired")
    with structlog.contextvars.bound_contextvars(collection=collection, slot=slot):
        refusal = _context.keyring.refusal(RETRAIN, {"collection": collection, "slot": slot, **more})
        if refusal is not None:
            log.error("a request for a run is refused", reason=refusal)
            return
        try:
            _context.retraining(collection).run(slot)
        except Exception:
            log.exception("run failed")
