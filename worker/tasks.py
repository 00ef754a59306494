"""The Celery task: thin. What becomes of a message is decided in `deliveries`."""

from typing import Any

from celery import Celery
from celery.app.task import Task
from celery.exceptions import Reject

from producer.broker import CLASSIFY
from worker.deliveries import Deliveries

_deliveries: Deliveries | None = None


def serve_with(deliveries: Deliveries) -> None:
    """Give the task of this process what it works with."""
    global _deliveries  # noqa: PLW0603 - Celery calls tasks by name; this is where the process hangs its parts
    _deliveries = deliveries


class AnyFields(Task):  # type: ignore[misc]
    """A task whose message may have fields of any name, `self` too, on which Celery's own call stumbles."""

    def __call__(self, /, *args: Any, **fields: Any) -> Any:  # noqa: ANN401 - any JSON may arrive
        """Run the task."""
        return self.run(*args, **fields)


def register(app: Celery) -> None:
    """Add the task to an app."""
    app.task(classify, name=CLASSIFY, base=AnyFields, bind=True, max_retries=None)


def classify(task: Task, /, *_: Any, **__: Any) -> None:  # noqa: ANN401 - any JSON may arrive
    """Do the message that this task's lease stands for; when this returns, Celery may acknowledge it."""
    if _deliveries is None:
        raise Reject("this worker is not wired", requeue=True)
    _deliveries.handle(task.request.properties["delivery_tag"])
