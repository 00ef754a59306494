"""TLS to a broker and a store whose certificates a private authority signed; nothing else is trusted."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from pydantic import SecretStr, ValidationError

from console import seaweedfs
from console.ports import HOST, choose_ports
from console.stack import Stack
from model_store.readiness import ping, wait_for
from model_store.s3 import S3Store, check_bucket, create_bucket
from model_store.settings import StoreSettings
from producer import BrokerSettings, ImageRef, Producer
from producer.broker import celery_app, classify_queues, lane_depths, redis_client
from producer.errors import BrokerUnavailable, StoreUnavailable
from producer.settings import ProducerSettings
from tests.tls import Authority, tls_in_front

KEYS = ("the-access-key-1", "the-secret-key-1")


@dataclass(frozen=True)
class Secured:
    ours: Authority
    foreign: Authority
    broker_url: str
    broker_elsewhere_url: str  # the certificate is for another name
    broker_that_asks_url: str  # wants a certificate of the client
    endpoint: str

    def ca_file(self, whose: str) -> Path | None:
        return {"ours": self.ours.ca_file, "foreign": self.foreign.ca_file}.get(whose)

    def broker(self, whose: str = "ours", url: str | None = None) -> BrokerSettings:
        return BrokerSettings(url=SecretStr(url or self.broker_url), ca_file=self.ca_file(whose))

    def store(self, whose: str = "ours") -> StoreSettings:
        access_key, secret_key = map(SecretStr, KEYS)
        return StoreSettings(
            endpoint=self.endpoint,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=self.ca_file(whose),
            max_retries=0,
        )


@pytest.fixture(scope="module")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    ours, foreign = Authority(folder, "ours"), Authority(folder, "foreign")
    head, _, rest = stack.broker_url.removeprefix("redis://").rpartition("@")
    port = int(rest.partition(":")[2].removesuffix("/0"))
    with contextlib.ExitStack() as running:
        ports = [
            running.enter_context(tls_in_front(port, ours.issue(name), clients_of))
            for name, clients_of in ((HOST, None), ("elsewhere.example", None), (HOST, ours.ca_file))
        ]
        urls = [f"rediss://{head}@{HOST}:{own}/12" for own in ports]
        endpoint = running.enter_context(secured_store(folder, ours.issue(HOST)))
        secured = Secured(ours, foreign, urls[0], urls[1], urls[2], endpoint)
        make = partial(create_bucket, "shoal", secured.store())
        wait_for("store", endpoint, "nothing", make, time.monotonic() + 60)
        yield secured


@contextlib.contextmanager
def secured_store(folder: Path, certificate: Path) -> Iterator[str]:
    """SeaweedFS with its own TLS."""
    ports = choose_ports(seaweedfs.PORT_NAMES, {})
    (folder / "seaweedfs").mkdir()
    server = seaweedfs.seaweedfs_server(folder / "seaweedfs", folder / "seaweedfs.log", ports, KEYS, ())
    server.command = [
        *server.command,
        f"-s3.cert.file={certificate}",
        f"-s3.key.file={certificate}",
    ]
    server.start()
    try:
        yield f"https://{HOST}:{ports['s3.port']}"
    finally:
        server.stop()


def connect_as_celery(broker: BrokerSettings) -> None:
    """Use kombu's own way in, which is a worker's."""
    with celery_app("test", broker, classify_queues(broker)) as app, app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)


def test_all_that_talks_to_the_broker_does_so_over_tls(secured: Secured) -> None:
    broker = secured.broker()
    with redis_client(broker) as client, Producer(broker) as producer:
        client.flushdb()
        producer.submit(ImageRef(image_id="i", bucket="uploads", key="k")).result(20)

        assert lane_depths(client, broker)["interactive"] == 1


def test_both_clients_of_the_store_work_over_tls(secured: Secured) -> None:
    with contextlib.closing(S3Store("shoal", secured.store())) as store:
        etag = store.put("key", b"by obstore")
        store.put("key", b"by boto3", if_match=etag)

        assert store.get("key").data == b"by boto3"
        assert [info.key for info in store.list()] == ["key"]


@pytest.mark.parametrize("whose", ["foreign", "the system's"])
def test_a_broker_of_an_unknown_authority_is_refused(secured: Secured, whose: str) -> None:
    broker = secured.broker(whose)
    with pytest.raises(BrokerUnavailable, match=r"not trusted.*SHOAL_BROKER__CA_FILE"):
        ping(broker)
    with (
        Producer(broker, ProducerSettings(timeout_s=0.2)) as producer,
        pytest.raises(BrokerUnavailable, match=r"not trusted.*SHOAL_BROKER__CA_FILE"),
    ):
        producer.submit(ImageRef(image_id="i", bucket="uploads", key="k"))
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect_as_celery(broker)


def test_a_certificate_for_another_host_is_refused(secured: Secured) -> None:
    broker = secured.broker(url=secured.broker_elsewhere_url)
    with pytest.raises(BrokerUnavailable, match=r"not trusted.*IP address mismatch.*SHOAL_BROKER__URL"):
        ping(broker)
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect_as_celery(broker)


@pytest.mark.parametrize("whose", ["foreign", "the system's"])
def test_a_store_of_an_unknown_authority_is_refused(secured: Secured, whose: str) -> None:
    settings = secured.store(whose)
    refused = pytest.raises(StoreUnavailable, match=r"not trusted.*SHOAL_STORE__CA_FILE")
    with refused:
        check_bucket("shoal", settings)  # by boto3
    with contextlib.closing(S3Store("shoal", settings)) as store, refused:
        store.put("key", b"by obstore")


def test_a_broker_that_asks_for_a_certificate_gets_it(secured: Secured) -> None:
    without = secured.broker(url=secured.broker_that_asks_url)
    own = BrokerSettings(
        url=without.url, ca_file=without.ca_file, client_cert_file=secured.ours.issue("client.example")
    )
    with pytest.raises(BrokerUnavailable):
        ping(without)
    ping(own)
    with Producer(own) as producer:
        producer.submit(ImageRef(image_id="i", bucket="uploads", key="k")).result(20)


def test_a_broker_without_tls_gets_no_password(stack: Stack) -> None:
    url = stack.broker_url.replace("redis://", "rediss://")
    with pytest.raises(BrokerUnavailable):
        ping(BrokerSettings(url=SecretStr(url), connect_timeout_s=1, socket_timeout_s=1))


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
def test_verification_cannot_be_turned_off(option: str) -> None:
    with pytest.raises(ValidationError, match=r"no \?options"):
        BrokerSettings(url=SecretStr(f"rediss://broker/0?{option}"))


def test_certificates_for_a_plain_connection_are_a_mistake(secured: Secured) -> None:
    with pytest.raises(ValidationError, match="use rediss://"):
        BrokerSettings(url=SecretStr("redis://broker/0"), ca_file=secured.ours.ca_file)
    with pytest.raises(ValidationError, match="use https://"):
        StoreSettings(endpoint="http://store", ca_file=secured.ours.ca_file)


def test_a_file_without_certificates_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for kind in (BrokerSettings, StoreSettings):
        with pytest.raises(ValidationError, match=r"ca\.pem holds no certificates"):
            kind.model_validate({"ca_file": tmp_path / "ca.pem"})
