"""Valkey and SeaweedFS under the generated users and policies, and what each role sees of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from dotenv import dotenv_values
from pydantic import SecretStr

from console import seaweedfs, valkey
from console.access.policy_files import write_policies
from console.ports import HOST, choose_ports
from console.server import Server
from model_store.process_settings import ProcessSettings
from model_store.s3 import S3Store
from model_store.s3_clients import s3_client
from model_store.settings import StoreSettings
from producer.broker import redis_client
from producer.settings import BrokerSettings

BUCKET, UPLOADS = "shoal", "uploads"


@dataclass(frozen=True)
class Policed:
    """Running servers and the files that they were given."""

    files: Path
    settings: ProcessSettings
    servers: list[Server] = field(default_factory=list)
    _stores: dict[tuple[str, str], S3Store] = field(
        default_factory=dict
    )  # their making costs more than a request

    def environment(self, role: str) -> dict[str, str]:
        told = dotenv_values(self.files / "env" / f"{role}.env")
        return {name: value for name, value in told.items() if value is not None}

    def broker(self, role: str) -> BrokerSettings:
        return BrokerSettings(url=SecretStr(self.environment(role)["SHOAL_BROKER__URL"]))

    def store_settings(self, role: str) -> StoreSettings:
        env = self.environment(role)
        return StoreSettings(
            endpoint=env["SHOAL_STORE__ENDPOINT"],
            access_key=SecretStr(env["SHOAL_STORE__ACCESS_KEY"]),
            secret_key=SecretStr(env["SHOAL_STORE__SECRET_KEY"]),
            max_in_flight=8,
        )

    def store(self, role: str, bucket: str = BUCKET) -> S3Store:
        if (role, bucket) not in self._stores:
            self._stores[role, bucket] = S3Store(bucket, self.store_settings(role))
        return self._stores[role, bucket]

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_ready(60)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def close(self) -> None:
        for store in self._stores.values():
            store.close()

    @contextlib.contextmanager
    def s3(self, role: str) -> Iterator[Any]:
        with contextlib.closing(s3_client(self.store_settings(role))) as client:
            yield client

    @contextlib.contextmanager
    def redis(self, role: str, database: str = "messages") -> "Iterator[redis.Redis]":
        broker = self.broker(role)
        with redis_client(broker.for_training() if database == "training" else broker) as client:
            yield client


@contextlib.contextmanager
def policed_servers(folder: Path, *, limit_databases: bool = True) -> Iterator[Policed]:
    """Start both; the buckets exist."""
    ports = choose_ports(("valkey.port", *seaweedfs.PORT_NAMES), {})
    broker = BrokerSettings(url=SecretStr(f"redis://{HOST}:{ports['valkey.port']}/0"))
    settings = ProcessSettings(
        broker=broker, store=StoreSettings(endpoint=f"http://{HOST}:{ports['s3.port']}")
    )
    write_policies(folder / "policies", settings, limit_databases=limit_databases)
    policed = Policed(folder / "policies", settings)
    policed.servers.append(_valkey(folder, ports["valkey.port"], policed))
    policed.servers.append(_seaweedfs(folder, ports, policed))
    try:
        policed.start()
        yield policed
    finally:
        policed.close()
        policed.stop()


def _valkey(folder: Path, port: int, policed: Policed) -> Server:
    config = valkey.valkey_config(port, "unused", fsync=False).replace(
        "requirepass unused", f"aclfile {policed.files / 'users.acl'}"
    )
    (folder / "valkey").mkdir()
    (folder / "valkey.conf").write_text(config)
    url = policed.broker("admin").url.get_secret_value()
    return valkey.valkey_server(folder / "valkey", folder / "valkey.log", url, folder / "valkey.conf")


def _seaweedfs(folder: Path, ports: dict[str, int], policed: Policed) -> Server:
    (folder / "seaweedfs").mkdir()
    keys = policed.store_settings("admin").keys
    assert keys is not None
    server = seaweedfs.seaweedfs_server(
        folder / "seaweedfs", folder / "seaweedfs.log", ports, keys, (BUCKET, UPLOADS)
    )
    server.command = [*server.command, f"-s3.config={policed.files / 's3.json'}"]
    server.env = {name: value for name, value in server.env.items() if not name.startswith("AWS_")}
    return server
