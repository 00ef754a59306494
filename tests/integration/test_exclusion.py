"""The probe of conditional writes, asked of stores that break their word: what promotes then refuses."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Barrier

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from console.stack import Stack
from model_store.exclusion import RACERS, check_conditions, check_exclusion
from model_store.object_store import MemoryStore, ObjectStore
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.errors import ConfigurationError, StoreUnavailable
from tests.system.faults.http_faults import Head
from tests.system.faults.proxy import HOST, FaultyProxy

SIGNED_ANEW = ("authorization", "x-amz-date")


class AsItWas(S3SigV4Auth):
    """Signs a request whose body, and with it the body's digest, stays what it was."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.headers["x-amz-content-sha256"])


def without(stack: Stack, dropped: str) -> Callable[[Head], None]:
    """Take a condition out of every request, and sign what is left, as a store does that ignores it."""

    def rewrite(head: Head) -> None:
        if head.get(dropped) is None:
            return
        method, path, _ = head.start.split(" ")
        head.drop(dropped, *SIGNED_ANEW)
        request = AWSRequest(method, f"http://{head.get('host')}{path}", headers=dict(head.headers))
        keys = Credentials(stack.access_key, stack.secret_key)
        AsItWas(keys, "s3", "us-east-1").add_auth(request)
        signed = {name.lower(): value for name, value in request.headers.items()}
        head.headers = [*((n, v) for n, v in head.headers if n not in signed), *signed.items()]

    return rewrite


@pytest.fixture(params=["if-none-match", "if-match"])
def heedless(request: pytest.FixtureRequest, stack: Stack) -> Iterator[FaultyProxy]:
    """SeaweedFS, made to ignore one of the two conditions."""
    port = int(stack.endpoint.rpartition(":")[2])
    with FaultyProxy(port, rewrite=without(stack, request.param)) as proxy:
        yield proxy


def store_at(proxy: FaultyProxy, stack: Stack) -> "closing[S3Store]":
    settings = StoreSettings(endpoint=proxy.endpoint, credentials_file=stack.credentials_file, max_retries=0)
    return closing(S3Store(stack.bucket, settings))


def test_a_store_whose_writes_exclude_passes_and_keeps_no_trace(s3_store: S3Store) -> None:
    check_exclusion(s3_store)
    check_conditions(s3_store)
    check_conditions(s3_store)

    assert [info.key for info in s3_store.list(".shoal/")] == [".shoal/probe/conditions.json"]


def test_a_store_that_ignores_a_condition_is_found_out(heedless: FaultyProxy, stack: Stack) -> None:
    with store_at(heedless, stack) as store, pytest.raises(ConfigurationError, match="do not exclude"):
        check_exclusion(store)


def test_a_store_that_checks_and_then_writes_is_found_out() -> None:
    class TwoSteps(MemoryStore):
        def put(
            self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None
        ) -> str:
            there = key in self._objects
            if create_only and there:
                return super().put(key, data, create_only=True)
            looked.wait(timeout=10) if create_only else None
            return super().put(key, data, if_match=if_match)

    looked = Barrier(RACERS)
    store: ObjectStore = TwoSteps()
    with pytest.raises(ConfigurationError, match=f"{RACERS} won"):
        check_exclusion(store)


def test_the_cheap_probe_finds_a_store_that_ignores_creation(stack: Stack) -> None:
    port = int(stack.endpoint.rpartition(":")[2])
    with (
        FaultyProxy(port, rewrite=without(stack, "if-none-match")) as proxy,
        store_at(proxy, stack) as store,
        pytest.raises(ConfigurationError, match="ignores conditional writes"),
    ):
        check_conditions(store)


def test_a_store_that_is_away_is_no_store_that_breaks_its_word() -> None:
    settings = StoreSettings.model_validate(
        {"endpoint": f"http://{HOST}:1", "access_key": "a", "secret_key": "b", "max_retries": 0}
    )
    with closing(S3Store("bucket", settings)) as store, pytest.raises(StoreUnavailable):
        check_exclusion(store)


@pytest.mark.parametrize("command", [["models", "promote", "any"], ["init"], ["trainer"]], ids=" ".join)
def test_what_promotes_refuses_a_heedless_store(stack: Stack, command: list[str]) -> None:
    port = int(stack.endpoint.rpartition(":")[2])
    with FaultyProxy(port, rewrite=without(stack, "if-match")) as proxy:
        env = {**os.environ, **stack.environment(), "SHOAL_STORE__ENDPOINT": proxy.endpoint}
        done = subprocess.run(
            [sys.executable, "-m", "console.cli", *command],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode != 0
    assert "do not exclude" in done.stderr
