"""Pictures in flight while the champion moves. SHOAL_LONG=1: 5,000 pictures, 10 swaps, 3 rollbacks."""

import threading
from itertools import count

from producer.client import Producer
from producer.contracts import ImageRef
from producer.ulid import ulid_time
from tests.system.faults.report import LONG
from tests.system.running_platform import Platform

PICTURES, MOVES = (5000, "ssssRssRsssRs") if LONG else (400, "ssRss")  # s: swap, R: rollback
AT_ONCE, EVERY_S = 5, 0.1
DELAY_S = 2.0


class Feeder(threading.Thread):
    """Submits pictures all the time, a few at once, and says after how many it is."""

    def __init__(self, platform: Platform, refs: list[ImageRef]) -> None:
        super().__init__(name="feeder")
        self.platform, self.refs, self.done = platform, refs, 0
        self.changed = threading.Condition()

    def run(self) -> None:
        with Producer(self.platform.broker) as producer:
            for start in range(0, len(self.refs), AT_ONCE):
                for ref in self.refs[start : start + AT_ONCE]:
                    producer.submit(ref, collection=self.platform.collection)
                with self.changed:
                    self.done = start + AT_ONCE
                    self.changed.notify_all()
                    self.changed.wait(EVERY_S)

    def wait_for(self, n: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.done >= n, 300)


def test_every_picture_in_flight_is_answered_once_by_one_stated_model(serving: Platform) -> None:
    registry = serving.registry()
    versions = [registry.current().version, serving.publish_tiny_model(1), serving.publish_tiny_model(2)]
    sources = serving.upload_kinds("swap", 30)
    refs = [
        ImageRef(image_id=f"swap-{i}", bucket=sources[0].bucket, key=sources[i % 30].key)
        for i in range(PICTURES)
    ]
    first = registry.current()
    aliases, turn = {first.generation: first}, count(1)
    feeder = Feeder(serving, refs)
    feeder.start()
    for nth, move in enumerate(MOVES, start=1):
        feeder.wait_for(nth * PICTURES // (len(MOVES) + 1))
        alias = registry.rollback() if move == "R" else registry.promote(versions[next(turn) % 3])
        aliases[alias.generation] = alias
    feeder.join(300)

    results = serving.results(refs, patience_s=120)

    assert len(results) == PICTURES
    assert len(aliases) == len(MOVES) + 1  # every move was one
    stamps = {result.model for result in results.values()}
    assert None not in stamps
    for stamp in stamps:
        assert stamp is not None
        alias = aliases[stamp.generation]
        assert (stamp.version, stamp.sha256) == (alias.version, alias.sha256)
    assert len(stamps) > len(MOVES) // 2  # they were answered all along
    assert {result.status for result in results.values()} <= {"assigned", "unknown"}
    delays = [(r.classified_at - ulid_time(r.message_id)).total_seconds() for r in results.values()]
    print(f"\n{PICTURES} pictures, {len(MOVES)} moves, longest delay {max(delays):.2f} s")  # noqa: T201
    if LONG:
        assert max(delays) < DELAY_S
