import dataclasses
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from console.stack import Stack
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.broker import redis_client
from producer.settings import BrokerSettings
from tests.system.running_platform import Platform

OWN, SHARED = 8, 10  # Redis databases; the trainer's is the next one
NUMBERS = count(1)


def connected(stack: Stack, database: int, workdir: Path) -> Iterator[Platform]:
    broker = BrokerSettings(url=SecretStr(stack.broker_url.rpartition("/")[0] + f"/{database}"))
    for settings in (broker, broker.for_training()):
        with redis_client(settings) as client:
            client.flushdb()
    store_settings = StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file)
    store, uploads = S3Store(stack.bucket, store_settings), S3Store(stack.uploads_bucket, store_settings)
    yield Platform(stack, broker, store_settings, store, uploads, workdir, f"system-{next(NUMBERS)}")
    store.close()
    uploads.close()


@pytest.fixture
def platform(stack: Stack, tmp_path: Path) -> Iterator[Platform]:
    """The stack with an empty Redis database and a collection of this test's own; nothing runs yet."""
    yield from connected(stack, OWN, tmp_path)


@pytest.fixture(scope="module")
def shared_worker(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    for platform in connected(stack, SHARED, tmp_path_factory.mktemp("shared")):
        with platform.running("worker", "worker ready", SHOAL_WORKER__HEALTH_PORT="0") as log:
            yield dataclasses.replace(platform, log=log)


@pytest.fixture
def serving(shared_worker: Platform, tmp_path: Path) -> Platform:
    """A worker that all tests of a module share, and a collection of this test's own with a tiny model."""
    platform = dataclasses.replace(shared_worker, collection=f"system-{next(NUMBERS)}", workdir=tmp_path)
    platform.promote_tiny_model()
    return platform
