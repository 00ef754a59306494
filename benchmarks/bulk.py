"""Jobs of the bulk lane: what a waiting picture costs in Redis, what parts and look-ups cost in the store.

`.venv/bin/python benchmarks/bulk.py` prints tables, then one JSON line. Sent is through `Producer.send`, as
`shoal submit --bulk` does; bytes are the growth of `used_memory` per picture, everything included.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Callable

from pydantic import SecretStr

from console.stack import Stack
from model_store.job_completion import JobCompletion
from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.job_record import JobRecord
from model_store.jobs import Jobs
from model_store.latest import Latest
from model_store.results import Results
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.broker import redis_client
from producer.client import Producer
from producer.contracts import (
    Alternative,
    ClassifyImages,
    Cluster,
    ImageRef,
    Input,
    ModelStamp,
    Result,
    TimingMs,
)
from producer.s3_events import image_id_for
from producer.settings import BrokerSettings
from producer.ulid import new_ulid

MESSAGES, IMAGES, ROUNDS, PARTS = 400, 256, 5, 400
MODEL = ModelStamp(version="20261123-194934-vgcw1q", sha256="0" * 64, generation=7)
KEYS: dict[str, Callable[[str], str]] = {
    "uploaded by shoal": lambda digest: f"cli/{digest[:16]}/IMG_{int(digest[:4], 16):05}.jpg",
    "by date and id": lambda digest: f"2026/11/24/{digest[:2]}/{digest}.jpg",
}


def digest_of(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()[:32]


def refs(kind: str, first: int, n: int = IMAGES, *, etag: bool = False) -> tuple[ImageRef, ...]:
    made = []
    for number in range(first, first + n):
        key = KEYS[kind](digest_of(number))
        tag = digest_of(-number - 1) if etag else None
        made.append(ImageRef(image_id=image_id_for("uploads", key), bucket="uploads", key=key, etag=tag))
    return tuple(made)


def redis_bytes(broker: BrokerSettings, kind: str, *, etag: bool) -> tuple[float, float]:
    """Bytes per waiting picture, and pictures sent per second."""
    with redis_client(broker) as client:
        client.flushdb()
        before = int(client.info("memory")["used_memory"])
        with Producer(broker) as producer:
            record = JobRecord(job_id="s3-0123456789abcdef", collection="default")
            messages = [
                ClassifyImages(
                    message_id=record.message_id(number),
                    lane="bulk",
                    job_id=record.job_id,
                    images=refs(kind, number * IMAGES, etag=etag),
                )
                for number in range(MESSAGES)
            ]
            started = time.perf_counter()
            for message in messages:
                producer.send(message)
            took_s = time.perf_counter() - started
        grown = int(client.info("memory")["used_memory"]) - before
        client.flushdb()
    return grown / (MESSAGES * IMAGES), MESSAGES * IMAGES / took_s


def answers(images: tuple[ImageRef, ...], message_id: str) -> list[Result]:
    return [
        Result(
            image_id=ref.image_id,
            collection="default",
            status="assigned",
            cluster=Cluster(id="c_9f2k7m", index=4),
            distance=i / 7,
            margin=i / 11,
            typicality=i / 256,
            alternatives=(
                Alternative(id="c_11aa0z", distance=i / 3),
                Alternative(id="c_22bb1y", distance=i / 2),
            ),
            model=MODEL,
            input=Input(etag=digest_of(i), sha256=digest_of(i) * 2, width=640, height=480, format="JPEG"),
            timing_ms=TimingMs(queued=i / 3, fetch=i / 5, decode=i / 9, predict=2.0),
            batch_size=256,
            message_id=message_id,
        )
        for i, ref in enumerate(images)
    ]


def writing(store: S3Store) -> dict[str, float]:
    """Milliseconds, wall and CPU, to store the results of one message, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in ("part", "part, CPU", "objects", "objects, CPU")}
    for number in range(ROUNDS):
        images, message_id = refs("by date and id", number * IMAGES), new_ulid()
        results = answers(images, message_id)
        for name in ("part", "objects"):
            started, cpu = time.perf_counter(), time.process_time()
            if name == "part":
                JobParts(store, "writing").save(
                    "job", message_id, part_of(message_id, IMAGES, images, results, [])
                )
            else:
                Results(store, "writing").save(results)
            taken[name].append(1000 * (time.perf_counter() - started))
            taken[f"{name}, CPU"].append(1000 * (time.process_time() - cpu))
    return {name: round(statistics.median(each), 1) for name, each in taken.items()}


def completing(store: S3Store) -> dict[str, float]:
    """Seconds to complete a job and to find a picture in it, before and after."""
    jobs, parts = Jobs(store, "completing"), JobParts(store, "completing")
    record = JobRecord(
        job_id="job", collection="completing", state="closed", messages=PARTS, pictures=PARTS * IMAGES
    )
    size = 0
    for number in range(PARTS):
        message_id, images = record.message_id(number), refs("by date and id", number * IMAGES)
        part = part_of(message_id, IMAGES, images, answers(images, message_id), [])
        size += len(part.encode()) if number < 10 else 0
        parts.save("job", message_id, part)
    wanted = [refs("by date and id", 12_345, 1)[0].image_id]

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return round(time.perf_counter() - started, 3)

    before = seconds(lambda: Latest(store, "completing").get_many(wanted))
    jobs.save(record, None)
    complete = seconds(lambda: JobCompletion(store, "completing").settle("job"))
    after = statistics.median(
        seconds(lambda: Latest(store, "completing").get_many(wanted)) for _ in range(ROUNDS)
    )
    return {
        "pictures": PARTS * IMAGES,
        "bytes per row": round(size / 10 / IMAGES, 1),
        "complete, s": complete,
        "find, not complete, s": before,
        "find, complete, s": after,
    }


def main() -> None:
    with Stack() as stack:
        broker = BrokerSettings(url=SecretStr(stack.broker_url))
        waiting = {}
        for kind in KEYS:
            for etag in (False, True):
                each, rate = redis_bytes(broker, kind, etag=etag)
                waiting[kind + (", with ETag" if etag else "")] = {
                    "bytes": round(each, 1),
                    "sent_per_s": round(rate),
                }
        settings = StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file)
        store = S3Store(stack.bucket, settings)
        found = {"waiting": waiting, "writing_ms": writing(store), "job": completing(store)}
        store.close()
    for title, figures in found.items():
        print(title)
        for name, figure in figures.items():
            print(f"  {name:32} {figure}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
