"""The Celery task: thin. An exception must never escape it, since Celery then drops the message."""

import random
from typing import Any

import structlog
from celery import Celery
from celery.app.task import Task
from celery.exceptions import Reject
from pydantic import ValidationError

from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages
from producer.errors import NoChampion, TransientError
from producer.ulid import new_ulid
from worker.context import Context

log = structlog.get_logger(__name__)

_context: Context | None = None


def serve_with(context: Context) -> None:
    """Give the tasks of this process what they work with."""
    global _context  # noqa: PLW0603 - Celery calls tasks by name; this is where the process hangs its parts
    _context = context


def register(app: Celery) -> None:
    """Add the task to an app."""
    app.task(classify, name=CLASSIFY, bind=True, max_retries=None)


def classify(task: Task, *args: Any, **fields: Any) -> None:  # noqa: ANN401 - any JSON may arrive
    """Do one message; acknowledged when this returns."""
    context = _context
    if context is None:
        raise Reject("this worker is not wired", requeue=True)
    attempt = task.request.retries + 1
    with structlog.contextvars.bound_contextvars(message_id=fields.get("message_id", task.request.id)):
        try:
            _classify(context, task, args, fields, attempt)
        except NoChampion as error:
            # to the end of the queue, so that other collections get their turn; does not count as an attempt
            task.request.retries -= 1
            raise _again(task, error, 0.0) from error
        except TransientError as error:
            pause_s = min(2.0 ** (attempt - 1), context.settings.worker.max_backoff_s)
            pause_s *= random.uniform(0.5, 1)  # noqa: S311 - jitter
            log.warning(
                "message will be tried again", attempt=attempt, pause_s=round(pause_s, 1), reason=str(error)
            )
            raise _again(task, error, pause_s) from error


def _classify(
    context: Context, task: Task, args: tuple[Any, ...], fields: dict[str, Any], attempt: int
) -> None:
    try:
        message = ClassifyImages.model_validate(fields)
    except ValidationError as error:
        _bury(context, task, args, fields, error)
        return
    try:
        context.classifier.classify(message, attempt)
    except TransientError:
        raise
    except Exception as error:
        log.exception("message failed in an unforeseen way", attempt=attempt)
        if attempt < context.settings.worker.max_attempts:
            raise TransientError(f"{type(error).__name__}: {error}") from error
        context.classifier.fail(message, attempt, f"{type(error).__name__} in the worker")


def _again(task: Task, error: Exception, pause_s: float) -> Exception:
    """Put the message back: a copy is published, then the one in hand acknowledged."""
    again: Exception
    try:
        again = task.retry(exc=error, countdown=pause_s, throw=False)
    except Reject:  # the copy could not be published, and Celery would drop the message
        again = Reject(error, requeue=True)
    return again


def _bury(
    context: Context, task: Task, args: tuple[Any, ...], fields: dict[str, Any], error: ValidationError
) -> None:
    """Keep a message that breaks the contract; trying it again would change nothing."""
    reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    kept_at = context.dead_letters("default").keep(
        new_ulid(), {"task_id": task.request.id, "args": args, "kwargs": fields}, reason
    )
    log.error("message breaks the contract", kept_at=kept_at, reason=reason)
