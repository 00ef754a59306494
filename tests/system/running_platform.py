import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from console.guarded_process import GuardedProcess
from console.stack import Stack
from console.waiting import wait_for_results
from model_store.layout import Layout
from model_store.manifest import new_version
from model_store.registry import Alias, Registry
from model_store.results import Results
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.broker import redis_client
from producer.client import Producer
from producer.contracts import ClassifyImages, ImageRef, Result
from producer.presence import workers
from producer.settings import BrokerSettings
from tests.system.forked_process import ForkedProcess
from tests.system.scraped import scraped
from tests.tiny_model import TinyBundle
from training.dataset import from_encoded
from training.progress import Silent
from training.settings import Settings
from training.train import train

ROOT = Path(__file__).parents[2]
OF_THE_TESTS = ("SHOAL_LONG", "SHOAL_FAULT_REPORT")  # no settings: Shoal would refuse them
TINY = {
    "recipe": "pixel",
    "architecture": {"widths": (8, 16), "embedding_dim": 16},
    "epochs": 1,
    "min_steps": 20,
    "max_steps": 20,
}


def picture(kind: int, seed: int) -> bytes:
    """Draw a PNG of one of three kinds, each with noise of its own."""
    rng = np.random.default_rng((kind, seed))
    pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
    pixels[..., kind] += 150
    pixels[: 10 + 4 * kind] //= 2
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@cache
def tiny_model(seed: int) -> TinyBundle:
    """Train on 90 pictures of the three kinds, once for all tests of this process."""
    items = [(f"{i}.png", picture(i % 3, i)) for i in range(90)]
    return trained_on(items, n_clusters=3, random_state=seed)


def trained_on(items: list[tuple[str, bytes]], n_clusters: int, **fit: int) -> TinyBundle:
    """Train a tiny model in this process on pictures and their names."""
    cluster = {"n_clusters": n_clusters, "n_components": 8}
    settings = Settings.model_validate({"training": {"fit": {**TINY, **fit}, "cluster": cluster}})
    with tempfile.TemporaryDirectory() as folder:
        corpus = from_encoded(
            items, settings.training.preprocess, settings.decode, Path(folder), source="test"
        )
        trained = train(corpus, settings.training, Silent(), source="test", collection="default")
    return trained.manifest, trained.files


@dataclass
class Platform:
    """The servers, seen through one Redis database and one collection of its own."""

    stack: Stack
    broker: BrokerSettings
    settings: StoreSettings
    store: S3Store
    uploads: S3Store
    workdir: Path
    collection: str
    log: Path | None = None  # of the worker that runs, if one does

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name not in OF_THE_TESTS},
            **self.stack.environment(),
            "SHOAL_BROKER__URL": self.broker.url.get_secret_value(),
            "SHOAL_WORKER__MODEL_POLL_S": "0.2",
            "SHOAL_WORKER__MODEL_WAIT_S": "1",
            "SHOAL_WORKER__DECODE_PROCESSES": "1",  # each takes half a second of CPU to start
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def log_text(self) -> str:
        """Give what the running worker has said so far."""
        assert self.log is not None
        return self.log.read_text()

    def metrics(self, name: str, **labels: str) -> float:
        """Ask the running worker for one of its figures; 0 if it tells none such."""
        assert self.log is not None
        return scraped(self.log, name, **labels)

    @contextlib.contextmanager
    def running(self, role: str, ready: str, *arguments: str, **environment: str) -> Iterator[Path]:
        """Run a process of Shoal until the block is left; gives its log, once `ready` stands in it.

        With a PYTHONPATH it is started cold, by a Python that looks there first.
        """
        log = self.workdir / f"{role}-{time.monotonic_ns()}.log"
        env, cwd = self.environment(**environment), self.workdir
        process: ForkedProcess | GuardedProcess
        if "PYTHONPATH" not in environment:
            process = ForkedProcess("console.cli", [role, *arguments], output=log, env=env, cwd=cwd)
        else:
            command = [sys.executable, "-m", "console.cli", role, *arguments]
            with log.open("wb") as out:
                process = GuardedProcess(command, output=out, env=env, cwd=cwd, grace_s=20)
        with ended_in_order(process, log, ready):
            yield log

    def shoal(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Run a command of a person's on this collection; gives its JSON."""
        command = [sys.executable, "-m", "console.cli", *arguments, "--collection", self.collection, "--json"]
        done = subprocess.run(
            command,
            cwd=self.workdir,
            env=self.environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def upload(self, key: str, data: bytes) -> ImageRef:
        self.uploads.put(key, data)
        return ImageRef(image_id=key.replace("/", "_"), bucket=self.uploads.bucket, key=key)

    def upload_kinds(self, name: str, n: int) -> list[ImageRef]:
        return [self.upload(f"{self.collection}/{name}/{i}.png", picture(i % 3, i)) for i in range(n)]

    def registry(self) -> Registry:
        return Registry(self.store, self.collection)

    def promote_tiny_model(self, seed: int = 0) -> str:
        """Publish and promote a tiny model; gives its version."""
        return self.registry().promote(self.publish_tiny_model(seed)).version

    def publish_tiny_model(self, seed: int = 0) -> str:
        return self.publish(tiny_model(seed))

    def publish(self, bundle: TinyBundle) -> str:
        manifest, files = bundle
        own = manifest.model_copy(update={"collection": self.collection, "version": new_version()})
        return self.registry().publish(own, files).version

    def move_champion_by_force(self, version: str, sha256: str) -> Alias:
        """Point the champion at a version that `promote` might refuse."""
        key, before = Layout(self.collection).alias("champion"), self.registry().current()
        generation = before.generation + 1
        alias = Alias(version=version, sha256=sha256, generation=generation, previous=before)
        self.store.put(key, alias.model_dump_json().encode(), if_match=self.store.get(key).etag)
        return alias

    def workers(self) -> list[dict[str, Any]]:
        """What the living workers tell of themselves."""
        with redis_client(self.broker) as client:
            return workers(client, self.broker)

    def served_by(self, refs: list[ImageRef]) -> set[str]:
        """The versions that answered these pictures, as the results stand now."""
        found = Results(self.store, self.collection).get_many(ref.image_id for ref in refs)
        return {result.model.version for result in found if result.model}

    def submit(self, refs: list[ImageRef]) -> str:
        """Submit through Producer; gives the earliest message id that may answer."""
        with Producer(self.broker) as producer:
            futures = [producer.submit(ref, collection=self.collection) for ref in refs]
        return min(future.result() for future in futures)

    def submit_job(self, refs: list[ImageRef], job_id: str) -> None:
        """Submit through Producer, as messages of a job on the bulk lane."""
        with Producer(self.broker) as producer:
            producer.submit_many(refs, collection=self.collection, lane="bulk", job_id=job_id)

    def send(self, message: ClassifyImages) -> None:
        with Producer(self.broker) as producer:
            producer.send(message)

    def results(
        self, refs: list[ImageRef], not_before: str = "", patience_s: float = 30
    ) -> dict[str, Result]:
        """Wait for the results of all; fails when one does not come."""
        found = wait_for_results(
            Results(self.store, self.collection),
            [ref.image_id for ref in refs],
            not_before=not_before,
            patience_s=patience_s,
            on_progress=lambda _: None,
        )
        assert len(found) == len({ref.image_id for ref in refs})
        return found


@contextlib.contextmanager
def ended_in_order(process: ForkedProcess | GuardedProcess, log: Path, ready: str) -> Iterator[None]:
    """Wait until `ready` stands in the log of a process; once the block is left it must end with 0."""
    try:
        wait_until(lambda: ready in log.read_text() or process.poll() is not None, 180, str(log))
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        status = process.wait()
    assert status == 0, log.read_text()


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, *, every_s: float = 0.05) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(every_s)
