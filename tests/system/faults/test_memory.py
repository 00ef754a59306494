"""Memory of a worker stays what it is after its first thousands of pictures (failures, row 9)."""

import os
import statistics
from pathlib import Path

import pytest

from producer.broker import CLASSIFY, redis_client
from producer.contracts import ClassifyImages
from producer.envelope import envelope
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import Platform

WARM_UP, STEPS, PER_STEP = 10_000, 10, 5_000
PER_MESSAGE = 250
PATIENCE_S = 300.0


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def do(load: Load, pictures: int) -> None:
    """Have so many pictures classified."""
    with redis_client(load.platform.broker, text=False) as client:
        for _ in range(pictures // PER_MESSAGE):
            refs = load.refs(PER_MESSAGE)
            message = ClassifyImages(collection=load.platform.collection, images=tuple(refs))
            fields = message.model_dump(mode="json", exclude_none=True)
            client.lpush("interactive", envelope(CLASSIFY, message.message_id, fields))
            for ref in refs:
                load.note(ref)
    report = load.settle("", PATIENCE_S)
    assert (report.lost, report.wrong) == (0, 0)
    load.submitted.clear()


@pytest.mark.skipif(not LONG, reason="part of the long form: it classifies 60,000 pictures")
def test_a_worker_takes_no_more_memory_after_fifty_thousand_pictures(platform: Platform) -> None:
    load = Load.on(platform)
    with fleet(platform, 1) as workers:
        (worker,) = workers.ready()
        do(load, WARM_UP)
        warm = resident_bytes(worker.pid)
        sizes = []
        for _ in range(STEPS):
            do(load, PER_STEP)
            sizes.append(resident_bytes(worker.pid))
    done = WARM_UP + STEPS * PER_STEP
    report = FaultReport("memory of a worker", submitted=done, results=done)
    report.faults = {"MiB after 10,000": warm >> 20, "MiB after 60,000": sizes[-1] >> 20}
    report.say()
    assert statistics.median(sizes[-3:]) <= 1.05 * warm, [warm, *sizes]
