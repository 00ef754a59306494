import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np

from model_store.layout import Layout
from model_store.ledger import Ledger
from model_store.registry import Registry
from producer.broker import CHECK, RETRAIN, TRAINING_QUEUE, celery_app, lane_queue
from producer.contracts import Result
from producer.errors import ObjectNotFound
from producer.ulid import new_ulid
from tests.system.forked_process import ForkedProcess
from tests.system.running_platform import Platform, wait_until
from training.run_record import RunRecord
from training.runs import Runs

N_PICTURES = 60
PATIENCE_S = 120.0
TRAINER = {
    "SHOAL_TRAINING__FIT__RECIPE": "pixel",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[8, 16]",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__EMBEDDING_DIM": "16",
    "SHOAL_TRAINING__FIT__BATCH_SIZE": "16",
    "SHOAL_TRAINING__FIT__MIN_STEPS": "300",
    "SHOAL_TRAINING__FIT__MAX_STEPS": "300",
    "SHOAL_TRAINING__FIT__PATIENCE": "1000",
    "SHOAL_TRAINING__CLUSTER__N_CLUSTERS": "3",
    "SHOAL_TRAINING__CLUSTER__N_COMPONENTS": "8",
    "SHOAL_TRAINING__MIN_IMAGES": "30",
    "SHOAL_TRAINING__LEASE_S": "2",
    "SHOAL_TRAINING__CHECKPOINT_EVERY_S": "0",
}


FEWER = {"SHOAL_TRAINING__FIT__MIN_STEPS": "100", "SHOAL_TRAINING__FIT__MAX_STEPS": "100"}


class Trainer:
    """A trainer process that may be killed or stopped, and what it has said."""

    def __init__(self, platform: Platform, **environment: str) -> None:
        self.log = platform.workdir / f"trainer-{time.monotonic_ns()}.log"
        env = platform.environment(**{**TRAINER, **environment})
        self.process = ForkedProcess(
            "console.cli", ["trainer"], output=self.log, env=env, cwd=platform.workdir
        )
        wait_until(lambda: "trainer ready" in self.said(), PATIENCE_S, str(self.log))

    def said(self) -> str:
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
        self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def trainer(platform: Platform, **environment: str) -> Iterator[Trainer]:
    started = Trainer(platform, **environment)
    try:
        yield started
    finally:
        started.end()


class Collection:
    """One collection with pictures in its ledger, and what can be seen of its run from outside."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.name = name
        self.platform = platform
        self.store = platform.store
        self.layout = Layout(name)
        self.runs = Runs(platform.store, name)
        self.registry = Registry(platform.store, name)
        refs = platform.upload_kinds(name, N_PICTURES)
        message_id = new_ulid()
        results = [
            Result(image_id=ref.image_id, collection=name, status="assigned", message_id=message_id)
            for ref in refs
        ]
        Ledger(self.store, name).append(message_id, refs, results, [np.zeros(8, np.float32)] * len(refs))

    def send(self, task: str, **fields: str) -> None:
        with celery_app("test", self.platform.broker.for_training(), [lane_queue(TRAINING_QUEUE)]) as app:
            app.send_task(task, kwargs={"collection": self.name, **fields}, queue=TRAINING_QUEUE)

    def record(self) -> RunRecord | None:
        try:
            return self.runs.get("slot")
        except ObjectNotFound:
            return None

    def has(self, prefix: str) -> bool:
        return next(self.store.list(prefix), None) is not None

    def whole_versions(self) -> list[str]:
        """List the versions that can be seen, each of which must load and answer its probe."""
        found = [manifest.version for manifest in self.registry.versions()]
        for version in found:
            self.registry.load(self.registry.manifest(version)[1], "cpu")
        return found

    def completed(self) -> bool:
        """Ask for a check, as beat does, and tell whether the run has ended; no half version may be seen."""
        self.whole_versions()
        self.send(CHECK)
        time.sleep(0.5)  # beat's interval
        record = self.record()
        return record is not None and record.state != "running"


def begun(collection: Collection) -> bool:
    return collection.record() is not None


def learning(collection: Collection) -> bool:
    return collection.has(collection.layout.run_file("slot", "checkpoint-"))


def publishing(collection: Collection) -> bool:
    return collection.has(collection.layout.models())


POINTS: list[tuple[str, Callable[[Collection], bool], float]] = [  # what is waited for, then how long at most
    ("begun", begun, 0.0),
    ("reading", begun, 0.5),
    ("learning", learning, 0.0),
    ("further", learning, 3.0),
    ("publishing", publishing, 0.0),
]


def test_a_trainer_killed_at_five_points_leaves_runs_that_complete_once(platform: Platform) -> None:
    chance = random.Random(6)  # noqa: S311 - not for secrets
    with ExitStack() as stack:
        current = stack.enter_context(trainer(platform, **FEWER))
        for point, reached, longest_s in POINTS:
            collection = Collection(platform, f"{platform.collection}-{point}")
            collection.send(RETRAIN, slot="slot")
            wait_until(lambda reached=reached, c=collection: reached(c), PATIENCE_S, point)  # type: ignore[misc]
            time.sleep(chance.uniform(0, longest_s))  # a random point within it
            current.end()
            collection.whole_versions()

            current = stack.enter_context(trainer(platform, **FEWER))
            wait_until(collection.completed, PATIENCE_S, f"the run killed at {point} completes")

            ended = collection.record()
            assert ended is not None
            assert (ended.state, ended.attempt) in {("promoted", 2), ("promoted", 1)}, point
            champion = collection.registry.current()
            assert (champion.version, champion.generation) == (ended.version, 1), point
            assert collection.whole_versions() == [champion.version], point
            assert [r.slot for r in collection.runs.all()] == ["slot"], point
            if ended.attempt == 2:  # else it was killed after its end, maybe before it had tidied up
                wait_until(lambda c=collection: not learning(c), PATIENCE_S, "its checkpoints go")  # type: ignore[misc]


def test_a_trainer_that_was_only_stopped_can_neither_publish_nor_promote(platform: Platform) -> None:
    collection = Collection(platform, platform.collection)
    with trainer(platform) as first:
        collection.send(RETRAIN, slot="slot")
        wait_until(lambda: learning(collection), PATIENCE_S, "it learns")
        first.send(signal.SIGSTOP)
        with trainer(platform) as second:
            wait_until(collection.completed, PATIENCE_S, "another takes the run up")
            ended = collection.record()
            assert "run is taken up again" in second.said()

            first.send(signal.SIGCONT)
            wait_until(lambda: "ends here" in first.said(), PATIENCE_S, "the first finds out")

    assert ended is not None
    assert (ended.state, ended.attempt) == ("promoted", 2)
    assert collection.record() == ended
    assert collection.whole_versions() == [ended.version]
    assert collection.registry.current().generation == 1
