"""Shoal in a race: `shoal worker` as it is, or the same on a device that sleeps."""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from benchmarks.race.field import COLLECTION
from benchmarks.race.racer import Done, Entry, Racer
from model_store.job_part import decode
from model_store.job_record import JobRecord
from model_store.jobs import Jobs
from model_store.layout import Layout
from producer.client import Producer
from producer.contracts import MAX_IMAGES_PER_MESSAGE, ClassifyImages, ImageRef
from producer.settings import BrokerSettings


class Shoal(Racer):
    """One worker process; `bulk` submits a job, else each picture is submitted by itself."""

    least = 8 * MAX_IMAGES_PER_MESSAGE  # fewer messages end before all its threads are at work

    def __init__(self, name: str, *, bulk: bool, device_rate: float | None) -> None:
        super().__init__(name, device_rate)
        self._bulk = bulk
        if bulk:
            self.aim_s = 12.0  # not all stages have work at its beginning and its end

    def command(self) -> Sequence[str]:
        if self.device_rate is None:
            return (sys.executable, "-m", "console.cli", "worker")
        return (sys.executable, "-m", "benchmarks.contenders.stub_device", str(self.device_rate))

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.field.stack.environment(),
            "SHOAL_BROKER__URL": self.url,
            "SHOAL_LOG__FORMAT": "json",
        }

    def submit(self, entry: Entry) -> float:
        refs = [ImageRef(image_id=i, bucket=self.field.stack.uploads_bucket, key=k) for i, k in entry.images]
        started = time.process_time()
        with Producer(BrokerSettings(url=SecretStr(self.url))) as producer:
            if self._bulk:
                self._submit_job(producer, entry.name, refs)
            else:
                producer.submit_many(refs)
        return time.process_time() - started

    def done_file(self) -> Path:
        return self.log

    def done_line(self, line: str) -> Done | None:
        if not line.startswith("{"):
            return None
        said = json.loads(line)
        if said["event"] != "message done" or said["refused"]:
            return None
        return Done(datetime.fromisoformat(said["timestamp"]).timestamp(), said["pictures"], said["batch"])

    def stored(self, entry: Entry) -> int:
        layout, store = Layout(COLLECTION), self.field.store
        if not self._bulk:
            folder = layout.result(entry.images[0][0]).rpartition("/")[0]
            return len({info.key for info in store.list(f"{folder}/{entry.name}-")})
        keys = [info.key for info in store.list(layout.job_parts(entry.name))]
        return len({picture for key in keys for picture in decode(store.get(key).data, key).rows})

    def _submit_job(self, producer: Producer, job_id: str, refs: list[ImageRef]) -> None:
        firsts = range(0, len(refs), MAX_IMAGES_PER_MESSAGE)
        record = JobRecord(
            job_id=job_id, collection=COLLECTION, state="closed", messages=len(firsts), pictures=len(refs)
        )
        Jobs(self.field.store, COLLECTION).save(record, None)
        for number, first in enumerate(firsts):
            images = tuple(refs[first : first + MAX_IMAGES_PER_MESSAGE])
            message_id = record.message_id(number)
            producer.send(ClassifyImages(message_id=message_id, lane="bulk", job_id=job_id, images=images))
