"""The embedded stack with a model and uploads in it, and real workers whose log tells what is done.

A message counts as done when its worker says so, which is after its results and its part of the ledger are
stored; a thread reads each log as it is written, and notes the moment.
"""

import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import SecretStr

from console.guarded_process import GuardedProcess
from console.stack import Stack
from model_store.registry import Registry
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.contracts import ImageRef
from producer.settings import BrokerSettings
from training.dataset import from_encoded
from training.progress import Silent
from training.settings import Settings
from training.train import train

UPLOADS, SIDE, KINDS = 512, 32, 3
ROOT = Path(__file__).parents[2]


def picture(number: int) -> bytes:
    """Draw a PNG of 32 px and about 3 KB."""
    pixels = np.random.default_rng(number).integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[..., number % KINDS] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@dataclass
class Log:
    """What one worker has said, as it says it."""

    done: dict[str, float] = field(default_factory=dict)  # message id -> moment, on the monotonic clock
    pictures: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)  # of messages that are done
    ready: threading.Event = field(default_factory=threading.Event)
    others: list[str] = field(default_factory=list)

    def follow(self, file: io.TextIOBase) -> None:
        """Read to the end."""
        for line in file:
            now = time.monotonic()
            try:
                said = json.loads(line)
            except ValueError:
                self.others.append(line)
                continue
            if said.get("event") == "message done":
                self.lines.append(said)
                self.pictures += said["pictures"]
                self.done.setdefault(said["message_id"], now)
            else:
                self.others.append(line)
                if said.get("event") == "worker ready":
                    self.ready.set()


@dataclass
class Served:
    """Servers, and what is in them."""

    stack: Stack
    broker: BrokerSettings
    store: S3Store
    uploads: S3Store
    refs: list[ImageRef]

    def some(self, count: int, name: str) -> list[ImageRef]:
        """Refer to the uploads under ids of their own."""
        return [
            self.refs[i % len(self.refs)].model_copy(update={"image_id": f"{name}-{i}"}) for i in range(count)
        ]

    @contextmanager
    def workers(self, count: int, module: str = "console.cli", **environment: str) -> Iterator[list[Log]]:
        """Run workers until the block is left; gives their logs, once all are ready."""
        with ExitStack() as undo:
            logs = [undo.enter_context(self._worker(module, environment)) for _ in range(count)]
            for log in logs:
                if not log.ready.wait(180):
                    raise RuntimeError("".join(log.others))
            yield logs

    @contextmanager
    def _worker(self, module: str, environment: dict[str, str]) -> Iterator[Log]:
        log, (reader, writer) = Log(), os.pipe()
        with os.fdopen(reader) as said:
            with os.fdopen(writer, "wb") as out:
                process = GuardedProcess(
                    [sys.executable, "-m", module, "worker"],
                    output=out,
                    env={
                        **os.environ,
                        **self.stack.environment(),
                        "PYTHONPATH": str(ROOT),
                        "SHOAL_LOG__FORMAT": "json",
                        **environment,
                    },
                    grace_s=40,
                )
            reading = threading.Thread(target=log.follow, args=(said,), daemon=True)
            reading.start()
            try:
                yield log
            finally:
                process.terminate()
                process.wait()
                reading.join(5)


@contextmanager
def served() -> Iterator[Served]:
    """Start the servers (fsync always), upload pictures, and promote a model of the default network."""
    with Stack() as stack, ExitStack() as undo:
        settings = StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file)
        store = undo.enter_context(closing(S3Store(stack.bucket, settings)))
        uploads = undo.enter_context(closing(S3Store(stack.uploads_bucket, settings)))
        files = {f"{number:04}.png": picture(number) for number in range(UPLOADS)}
        uploads.put_many(files)
        promote(store, files)
        refs = [ImageRef(image_id=key, bucket=stack.uploads_bucket, key=key) for key in files]
        yield Served(stack, BrokerSettings(url=SecretStr(stack.broker_url)), store, uploads, refs)


def promote(store: S3Store, files: dict[str, bytes]) -> None:
    """Train a few steps: what it knows does not change what it costs."""
    fit = {"recipe": "pixel", "epochs": 1, "min_steps": 5, "max_steps": 5}
    told = {"training": {"fit": fit, "cluster": {"n_clusters": KINDS, "n_components": 8}}}
    settings = Settings.model_validate(told)
    with tempfile.TemporaryDirectory() as folder:
        corpus = from_encoded(
            iter(files.items()), settings.training.preprocess, settings.decode, Path(folder), source="bench"
        )
        trained = train(corpus, settings.training, Silent(), source="bench", collection="default")
    registry = Registry(store, "default")
    registry.promote(registry.publish(trained.manifest, trained.files).version)
