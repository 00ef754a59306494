"""The Celery task: thin. An exception must never escape it, since Celery then drops the message."""

import random
from typing import Any

import structlog
from celery import Celery
from celery.app.task import Task
from celery.exceptions import Reject
from pydantic import ValidationError

from producer.broker import CLASSIFY, INTERACTIVE
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


class AnyFields(Task):  # type: ignore[misc]
    """A task whose message may have fields of any name, `self` too, on which Celery's own call stumbles."""

    def __call__(self, /, *args: Any, **fields: Any) -> Any:  # noqa: ANN401 - any JSON may arrive
        """Run the task."""
        return self.run(*args, **fields)


def register(app: Celery) -> None:
    """Add the task to an app."""
    app.task(classify, name=CLASSIFY, base=AnyFields, bind=True, max_retries=None)


def classify(task: Task, /, *args: Any, **fields: Any) -> None:  # noqa: ANN401 - any JSON may arrive
    """Do one message; acknowledged when this returns."""
    context = _context
    if context is None:
        raise Reject("this worker is not wired", requeue=True)
    task.request.retries = task.request.retries or 0  # foreign clients send null
    attempt = task.request.retries + 1
    fields.setdefault("message_id", new_ulid())  # of one submission: its retries carry it on
    with structlog.contextvars.bound_contextvars(message_id=fields["message_id"]):
        try:
            _classify(context, task, args, fields, attempt)
        except NoChampion as error:
            # to the end of the queue, so that other collections get their turn; does not count as an attempt
            task.request.retries -= 1
            raise _again(context, task, fields, error, 0.0) from error
        except Exception as error:
            worker = context.settings.worker
            pause_s = min(2.0 ** min(attempt - 1, 10), worker.max_backoff_s) * random.uniform(0.5, 1)  # noqa: S311
            say = log.warning if isinstance(error, TransientError) else log.exception
            say("message will be tried again", attempt=attempt, pause_s=round(pause_s, 1), reason=str(error))
            raise _again(context, task, fields, error, pause_s) from error


def _classify(
    context: Context, task: Task, args: tuple[Any, ...], fields: dict[str, Any], attempt: int
) -> None:
    refusal = context.keyring.refusal(CLASSIFY, fields)
    if refusal is not None:
        _bury(context, task, args, fields, refusal)
        return
    try:
        message = ClassifyImages.model_validate(fields)
    except ValidationError as error:
        reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        _bury(context, task, args, fields, reason)
        return
    try:
        context.classifier.classify(message, attempt)
    except TransientError:
        raise
    except Exception as error:
        if attempt < context.settings.worker.max_attempts:
            raise
        log.exception("message failed in an unforeseen way", attempt=attempt)
        context.classifier.fail(message, attempt, f"{type(error).__name__} in the worker")


def _again(
    context: Context, task: Task, fields: dict[str, Any], error: Exception, pause_s: float
) -> Exception:
    """Put the message back: a copy is published, then the one in hand acknowledged."""
    # by name, since a foreign client's exchange may lead nowhere
    name = (task.request.delivery_info or {}).get("routing_key")
    queue = name if name in context.queues else INTERACTIVE
    again: Exception
    try:
        again = task.retry(kwargs=fields, exc=error, countdown=pause_s, queue=queue, throw=False)
    except Reject:  # the copy could not be published, and Celery would drop the message
        again = Reject(error, requeue=True)
    return again


def _bury(context: Context, task: Task, args: tuple[Any, ...], fields: dict[str, Any], reason: str) -> None:
    """Keep a message that may or can not be done; trying it again would change nothing."""
    kept_at = context.dead_letters("default").keep(
        new_ulid(), {"task_id": task.request.id, "args": args, "kwargs": fields}, reason
    )
    log.error("message refused", kept_at=kept_at, reason=reason)
