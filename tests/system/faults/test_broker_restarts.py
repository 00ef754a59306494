"""Valkey is killed and started again on its append-only file, again and again, under load."""

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from console.stack import Stack
from model_store.results import Results
from producer.client import Producer
from producer.contracts import ImageRef
from producer.errors import ShoalError
from producer.settings import ProducerSettings
from tests.system.conftest import OWN, connected
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import Platform, wait_until

RESTARTS = 10 if LONG else 2
RESUMES_WITHIN_S = 60.0
AT_ONCE = 8
PAUSE_S = 0.05
DONE = re.compile(r"message done.*message_id=(\w{26})")


@pytest.fixture
def own_platform(server_programs: None, tmp_path: Path) -> Iterator[Platform]:
    """Servers of this test's own: the others' broker must live."""
    with Stack() as stack:
        yield from connected(stack, OWN, tmp_path)


class Submitter:
    """An upload platform that tries each picture again until its submission is acknowledged."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._uploaded = platform.upload_kinds("restarts", 30)
        self._stop = threading.Event()
        self.acknowledged: list[ImageRef] = []
        self.refused = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        numbers = itertools.count()
        settings = ProducerSettings(timeout_s=5)
        with Producer(self._platform.broker, settings) as producer:
            while not self._stop.wait(PAUSE_S):
                refs = [self._ref(next(numbers)) for _ in range(AT_ONCE)]
                while not self._submitted(producer, refs):
                    self.refused += 1
                    time.sleep(PAUSE_S)
                self.acknowledged += refs

    def _ref(self, number: int) -> ImageRef:
        uploaded = self._uploaded[number % len(self._uploaded)]
        return uploaded.model_copy(update={"image_id": f"restarts-{number}"})

    def _submitted(self, producer: Producer, refs: list[ImageRef]) -> bool:
        try:
            futures = [producer.submit(ref, collection=self._platform.collection) for ref in refs]
            for future in futures:
                future.result(30)
        except ShoalError:
            return False
        return True


def test_a_broker_that_is_killed_again_and_again_loses_nothing(own_platform: Platform) -> None:
    platform, longest_s = own_platform, 0.0
    platform.promote_tiny_model()
    valkey = platform.stack.valkey
    with platform.running("worker", "worker ready") as log, Submitter(platform) as submitter:
        for _ in range(RESTARTS):
            wait_for_more(log, 5)
            valkey.kill()
            valkey.start()
            valkey.wait_ready()
            longest_s = max(longest_s, wait_for_more(log, 3))
        submitter.stop()
        refs = submitter.acknowledged
        wait_until(lambda: len(answers(platform, refs)) == len(refs), 120, "all", every_s=0.5)
    report = FaultReport("Valkey killed (SIGKILL) and restarted on its append-only file, under load")
    report.count((ref.image_id for ref in refs), answers(platform, refs))
    report.duplicates = sum(n > 1 for n in Counter(DONE.findall(log.read_text())).values())
    report.faults, report.recovery_s = {"SIGKILL of Valkey": RESTARTS}, longest_s
    report.say()
    print(report, f"refused submissions: {submitter.refused}")  # noqa: T201 - shown with -s
    assert (report.lost, report.wrong) == (0, 0)
    assert report.results == len(refs) > 100


def wait_for_more(log: Path, messages: int) -> float:
    """Wait until so many more messages were done; gives how many seconds it took."""
    before, since = len(DONE.findall(log.read_text())), time.monotonic()
    wait_until(
        lambda: len(DONE.findall(log.read_text())) >= before + messages,
        RESUMES_WITHIN_S,
        "work goes on",
        every_s=0.2,
    )
    return time.monotonic() - since


def answers(platform: Platform, refs: list[ImageRef]) -> dict[str, bool]:
    """Tell of each picture that has a result whether it is the right one."""
    found = Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)
    return {result.image_id: result.status in {"assigned", "unknown"} for result in found}
