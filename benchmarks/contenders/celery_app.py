"""Celery, one task per picture, as "First steps with Celery" and its guide to workers teach."""

import os

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.contenders import by_hand

app = Celery("pictures", broker=os.environ["BENCH_BROKER"])
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


@worker_process_init.connect
def _load(**_: object) -> None:
    by_hand.warm()


@app.task
def classify(image_id: str, key: str) -> None:
    """Do one picture."""
    by_hand.classify_one(image_id, key)


def submit(images: list[tuple[str, str]]) -> None:
    """Queue each picture."""
    for image_id, key in images:
        classify.delay(image_id, key)
