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

DATABASE = 8  # and 9, the trainer's
NUMBERS = count(1)


@pytest.fixture
def platform(stack: Stack, tmp_path: Path) -> Iterator[Platform]:
    """The stack with an empty Redis database and a collection of this test's own."""
    broker = BrokerSettings(url=SecretStr(stack.broker_url.rpartition("/")[0] + f"/{DATABASE}"))
    for settings in (broker, broker.for_training()):
        with redis_client(settings) as client:
            client.flushdb()
    store_settings = StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file)
    store, uploads = S3Store(stack.bucket, store_settings), S3Store(stack.uploads_bucket, store_settings)
    yield Platform(stack, broker, store_settings, store, uploads, tmp_path, f"system-{next(NUMBERS)}")
    store.close()
    uploads.close()
