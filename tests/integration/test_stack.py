import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError

from console import ports
from console.stack import Stack

RACERS = 12


@contextlib.contextmanager
def s3(stack: Stack, secret_key: str | None = None) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=stack.endpoint,
        aws_access_key_id=stack.access_key,
        aws_secret_access_key=secret_key or stack.secret_key,
        region_name="us-east-1",
        config=Config(max_pool_connections=RACERS, retries={"total_max_attempts": 1}, proxies={}),
    )
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def broker(url: str) -> Iterator[Any]:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        yield client


def read(client: Any, bucket: str, key: str) -> bytes:
    with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
        return bytes(body.read())


def write(stack: Stack, value: bytes) -> None:
    with s3(stack) as store, broker(stack.broker_url) as redis_client:
        store.put_object(Bucket=stack.uploads_bucket, Key="kept", Body=value)
        redis_client.set("kept", value)


def read_back(stack: Stack) -> tuple[bytes, bytes]:
    with s3(stack) as store, broker(stack.broker_url) as redis_client:
        return read(store, stack.uploads_bucket, "kept"), bytes(redis_client.get("kept"))


def test_both_buckets_exist(stack: Stack) -> None:
    with s3(stack) as store:
        names = {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}

    assert names >= {"shoal", "uploads"}


def test_broker_refuses_a_wrong_password(stack: Stack) -> None:
    wrong = stack.broker_url.replace("redis://:", "redis://:x")

    with broker(wrong) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_store_refuses_a_wrong_secret(stack: Stack) -> None:
    with s3(stack, secret_key="x" * 48) as store, pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        store.list_objects_v2(Bucket=stack.bucket)


def test_store_refuses_a_bucket_that_does_not_exist(stack: Stack) -> None:
    with s3(stack) as store, pytest.raises(ClientError, match="NoSuchBucket"):
        store.put_object(Bucket="mistyped", Key="k", Body=b"")


def test_no_secret_is_on_a_command_line(stack: Stack) -> None:
    lines = [" ".join(psutil.Process(server.pid).cmdline()) for server in (stack.valkey, stack.seaweedfs)]

    password = stack.broker_url.split(":")[2].split("@")[0]
    assert not any(secret in line for secret in (password, stack.secret_key) for line in lines)


def test_every_port_is_bound_to_loopback_only(stack: Stack) -> None:
    for server in (stack.valkey, stack.seaweedfs):
        bound = psutil.Process(server.pid).net_connections(kind="inet")
        assert {c.laddr.ip for c in bound if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_secrets_are_readable_by_their_owner_only(stack: Stack) -> None:
    for name in ("stack.json", "credentials", "valkey.conf"):
        assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600


def test_credentials_file_opens_the_store(stack: Stack) -> None:
    code = "import boto3, sys; print(boto3.client('s3', endpoint_url=sys.argv[1]).list_buckets()['Buckets'])"
    env = {
        **os.environ,
        "AWS_SHARED_CREDENTIALS_FILE": str(stack.credentials_file),
        "AWS_REGION": "us-east-1",
    }

    done = subprocess.run(
        [sys.executable, "-c", code, stack.endpoint], env=env, capture_output=True, text=True, check=True
    )

    assert "uploads" in done.stdout


def test_environment_names_every_setting(stack: Stack) -> None:
    assert stack.environment() == {
        "SHOAL_BROKER__URL": stack.broker_url,
        "SHOAL_STORE__ENDPOINT": stack.endpoint,
        "SHOAL_STORE__BUCKET": "shoal",
        "SHOAL_STORE__UPLOADS_BUCKET": "uploads",
        "SHOAL_STORE__CREDENTIALS_FILE": str(stack.credentials_file),
    }


def test_conditional_write_lets_one_of_twelve_racers_win(stack: Stack) -> None:
    def create(store: Any, key: str, racer: int) -> int:
        with contextlib.suppress(ClientError):
            store.put_object(Bucket=stack.bucket, Key=key, Body=b"%d" % racer, IfNoneMatch="*")
            return 1
        return 0

    with s3(stack) as store, ThreadPoolExecutor(RACERS) as racers:
        for race in range(3):  # losers wait for its lock in steps of 1 s, up to 4 s a race
            wins = racers.map(create, [store] * RACERS, [f"race-{race}"] * RACERS, range(RACERS))
            assert sum(wins) == 1


def test_killed_server_starts_again_with_its_data(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as stack:
        write(stack, b"before")
        for server in (stack.valkey, stack.seaweedfs):
            server.kill()
            assert not server.alive
            server.start()
            server.wait_ready()

        assert read_back(stack) == (b"before", b"before")


def test_data_credentials_and_ports_survive_a_restart_of_the_stack(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as first:
        write(first, b"kept")
    with Stack(tmp_path / "data") as second:
        assert read_back(second) == (b"kept", b"kept")
        assert second.environment() == first.environment()


def test_data_survive_a_move_to_other_ports(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as first:
        write(first, b"kept")
    saved = json.loads((tmp_path / "data" / "stack.json").read_text())
    saved["ports"] = {}
    (tmp_path / "data" / "stack.json").write_text(json.dumps(saved))

    with Stack(tmp_path / "data") as second:
        assert second.endpoint != first.endpoint
        assert second.broker_url != first.broker_url
        assert read_back(second) == (b"kept", b"kept")


def test_taken_ports_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: Stack) -> None:
    taken = {name: port for name, port in stack._state.ports.items() if name in ("s3.port", "valkey.port")}
    choices = iter([taken])
    honest = ports.choose_ports

    def unlucky(names: Any, kept: Any) -> dict[str, int]:
        return {**honest(names, kept), **next(choices, {})}

    monkeypatch.setattr("console.stack.choose_ports", unlucky)

    with Stack(tmp_path / "data") as other:
        assert other.endpoint != stack.endpoint
        write(other, b"mine")


def test_two_stacks_do_not_meet(stack: Stack) -> None:
    with Stack() as other:
        write(other, b"other")
        write(stack, b"first")

        assert read_back(other) == (b"other", b"other")
        assert not set(other._state.ports.values()) & set(stack._state.ports.values())
        others_password_here = other.broker_url.split("@")[0] + "@" + stack.broker_url.split("@")[1]
        with broker(others_password_here) as wrong, pytest.raises(redis.AuthenticationError):
            wrong.ping()
