"""celery-batches, as its documentation teaches: a task gets many requests. Needs celery below 5.7."""

import os

from celery import Celery
from celery.signals import worker_process_init
from celery_batches import Batches, SimpleRequest

from benchmarks.contenders import by_hand

BATCH, WAIT_S = 64, 0.5

app = Celery("pictures", broker=os.environ["BENCH_BROKER"])
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
app.conf.worker_prefetch_multiplier = BATCH  # "must be 0 or at least flush_every over concurrency"


@worker_process_init.connect
def _load(**_: object) -> None:
    by_hand.warm()


@app.task(base=Batches, flush_every=BATCH, flush_interval=WAIT_S)
def classify(requests: list[SimpleRequest]) -> None:
    """Do the pictures that came together."""
    by_hand.classify_many([(request.args[0], request.args[1]) for request in requests])


def submit(images: list[tuple[str, str]]) -> None:
    """Queue each picture."""
    for image_id, key in images:
        classify.delay(image_id, key)
