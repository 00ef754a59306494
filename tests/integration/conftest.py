from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from pydantic import SecretStr

from console.stack import Stack
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.broker import redis_client
from producer.settings import BrokerSettings
from tests.integration.office import Office
from tests.integration.own_broker import Broker, own_broker
from tests.integration.policed_servers import Policed, policed_servers


@pytest.fixture(scope="session")
def store_settings(stack: Stack) -> StoreSettings:
    return StoreSettings(endpoint=stack.endpoint, credentials_file=stack.credentials_file, max_in_flight=16)


@pytest.fixture(scope="session")
def s3_store(stack: Stack, store_settings: StoreSettings) -> Iterator[S3Store]:
    """The stack's bucket: use keys under `prefix`."""
    with closing(S3Store(stack.bucket, store_settings)) as store:
        yield store


@pytest.fixture
def prefix() -> str:
    """A beginning of keys that no other test uses."""
    return f"test-{uuid4().hex[:12]}/"


@pytest.fixture(scope="session")
def policed(server_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policed]:
    """Servers of their own under the users and policies of `shoal deploy policies`."""
    with policed_servers(tmp_path_factory.mktemp("policed")) as servers:
        yield servers


@pytest.fixture
def lease_broker(stack: Stack) -> BrokerSettings:
    return BrokerSettings(url=SecretStr(stack.broker_url.rpartition("/")[0] + "/5"))


@pytest.fixture
def lease_client(lease_broker: BrokerSettings) -> Iterator["redis.Redis"]:
    with closing(redis_client(lease_broker, text=False)) as connected:
        connected.flushdb()
        yield connected
        connected.config_set("maxmemory", 0)
        connected.flushdb()


@pytest.fixture
def office(lease_broker: BrokerSettings, lease_client: "redis.Redis") -> Iterator[Office]:
    office = Office(lease_broker, lease_client)
    with closing(office.leases):
        yield office


@pytest.fixture
def broker(stack: Stack) -> Iterator[BrokerSettings]:
    """A database of this test's own, empty before and after."""
    settings = BrokerSettings(url=SecretStr(stack.broker_url.removesuffix("/0") + "/5"))
    with closing(redis_client(settings)) as client:
        client.flushdb()
        yield settings
        client.flushdb()


@pytest.fixture
def wire(broker: BrokerSettings) -> "Iterator[redis.Redis]":
    with closing(redis_client(broker)) as client:
        yield client


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own, which it may stop, kill and fill."""
    with own_broker(tmp_path) as broker:
        yield broker
