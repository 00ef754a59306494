"""taskiq on Redis, one task per picture; tasks that are not async run in threads, as documented."""

import asyncio
import os

from taskiq_redis import ListQueueBroker

from benchmarks.contenders import by_hand

broker = ListQueueBroker(url=os.environ["BENCH_BROKER"])


@broker.task
def classify(image_id: str, key: str) -> None:
    """Do one picture."""
    by_hand.classify_one(image_id, key)


def submit(images: list[tuple[str, str]]) -> None:
    """Queue each picture."""

    async def queue() -> None:
        await broker.startup()
        for image_id, key in images:
            await classify.kiq(image_id, key)
        await broker.shutdown()

    asyncio.run(queue())
