"""Dramatiq, one message per picture, as its guide teaches: processes with threads, the Redis broker."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.contenders import by_hand

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_BROKER"]))


@dramatiq.actor
def classify(image_id: str, key: str) -> None:
    """Do one picture."""
    by_hand.classify_one(image_id, key)


def submit(images: list[tuple[str, str]]) -> None:
    """Queue each picture."""
    for image_id, key in images:
        classify.send(image_id, key)
