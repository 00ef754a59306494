"""What only the real store can show: other servers, refusals, silence, and the bytes on the wire."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from pydantic import SecretStr

from console.stack import Stack
from model_store.object_store import Get
from model_store.s3 import S3Store, check_bucket, create_bucket
from model_store.s3_clients import s3_client
from model_store.settings import StoreSettings
from producer.errors import (
    AccessDenied,
    NotReady,
    ObjectNotFound,
    StoreUnavailable,
    TooLarge,
)

VERBS: dict[str, Callable[[S3Store], object]] = {
    "get": lambda store: store.get("key"),
    "get, odd key": lambda store: store.get("odd//key"),
    "put": lambda store: store.put("key", b""),
    "create": lambda store: store.put("key", b"", create_only=True),
    "swap": lambda store: store.put("key", b"", if_match="0" * 32),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("key"),
}
every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
HUGE = 10**12


def settings_for(
    endpoint: str, access_key: str = "someone", secret: str | None = None, timeout_s: float = 5.0
) -> StoreSettings:
    return StoreSettings(
        endpoint=endpoint,
        access_key=SecretStr(access_key),
        secret_key=SecretStr(secret or "wrong"),
        connect_timeout_s=0.5,
        timeout_s=timeout_s,
        max_retries=1,
        retry_for_s=1,
        max_in_flight=4,
    )


class Recorder(BaseHTTPRequestHandler):
    """Answers every read with a header that promises HUGE bytes and a body of three; notes the path."""

    def __init__(self, paths: list[str], *connection: Any) -> None:
        self.paths = paths
        super().__init__(*connection)

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(HUGE))
        self.end_headers()
        self.wfile.write(b"abc")

    def log_message(self, *_args: object) -> None:
        return


@contextmanager
def recorder() -> Iterator[tuple[S3Store, list[str]]]:
    """A store at a server that only records; and the paths of its requests."""
    paths: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Recorder, paths)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with closing(S3Store("bucket", settings_for(f"http://127.0.0.1:{server.server_port}"))) as store:
            yield store, paths
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def wrong_secret(stack: Stack) -> Iterator[S3Store]:
    settings = settings_for(stack.endpoint, access_key=stack.access_key)
    with closing(S3Store(stack.bucket, settings)) as store:
        yield store


@pytest.fixture(scope="module")
def absent_server() -> Iterator[S3Store]:
    with closing(S3Store("bucket", settings_for("http://127.0.0.1:1"))) as store:
        yield store


@pytest.fixture(scope="module")
def missing_bucket(stack: Stack) -> Iterator[S3Store]:
    settings = settings_for(stack.endpoint, stack.access_key, stack.secret_key)
    with closing(S3Store("no-such-bucket", settings)) as store:
        yield store


@every_verb
def test_a_wrong_secret_is_access_denied(wrong_secret: S3Store, verb: Callable[[S3Store], object]) -> None:
    with pytest.raises(AccessDenied):
        verb(wrong_secret)


@every_verb
def test_an_absent_server_is_unavailable_in_bounded_time(
    absent_server: S3Store, verb: Callable[[S3Store], object]
) -> None:
    started = time.monotonic()

    with pytest.raises(StoreUnavailable):
        verb(absent_server)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize("verb", [VERBS["get"], VERBS["swap"]], ids=["obstore", "boto3"])
def test_a_silent_server_is_unavailable_in_bounded_time(verb: Callable[[S3Store], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = settings_for(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.2)
        started = time.monotonic()

        with closing(S3Store("bucket", settings)) as store, pytest.raises(StoreUnavailable):
            verb(store)

        assert time.monotonic() - started < 5


# not the swap: SeaweedFS looks for the object first, and answers that the condition does not hold
@pytest.mark.parametrize("verb", [VERBS[name] for name in VERBS if name != "swap"])
def test_a_missing_bucket_is_not_found(missing_bucket: S3Store, verb: Callable[[S3Store], object]) -> None:
    with pytest.raises(ObjectNotFound):
        verb(missing_bucket)


def test_many_reads_from_a_missing_bucket_fail_one_by_one(missing_bucket: S3Store) -> None:
    outcomes = dict(missing_bucket.get_many([Get("a"), Get("b")]))

    assert [type(outcomes[position]) for position in (0, 1)] == [ObjectNotFound, ObjectNotFound]


def test_a_bucket_is_created_once_and_then_found(store_settings: StoreSettings) -> None:
    bucket = f"made-{uuid4().hex[:12]}"

    with pytest.raises(ObjectNotFound, match=bucket):
        check_bucket(bucket, store_settings)

    assert create_bucket(bucket, store_settings)
    assert not create_bucket(bucket, store_settings)
    check_bucket(bucket, store_settings)


def test_a_key_reaches_the_server_unaltered() -> None:
    # what the server makes of it is its own affair: SeaweedFS takes `/lead` for `lead` and `a//b` for `a/b`
    keys = ["/lead", "//lead", "a//b", "trail/", "a/../b", "./a", "..", "a\\b", "é?#&+ %41", "\x00"]
    with recorder() as (store, paths):
        for key in keys:
            list(store.get_many([Get(key)], max_bytes=10))

    assert [unquote(path) for path in paths] == [f"/bucket/{key}" for key in keys]


def test_an_answer_that_is_not_whole_leaves_no_connection_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        settings = settings_for(f"http://127.0.0.1:{server.getsockname()[1]}")
        hung_up = []

        def serve() -> None:
            for _ in range(2):  # it is asked twice
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nLast-Modified: Mon, 30 N')
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(30)
                    hung_up.append(connection.recv(1) == b"")

        thread = threading.Thread(target=serve)
        thread.start()
        with closing(S3Store("bucket", settings)) as store:
            with pytest.raises(StoreUnavailable, match="not whole") as caught:
                store.get("odd//key")
            thread.join()  # while the error is still held
            del caught

    assert hung_up == [True, True]


def test_an_object_over_the_limit_is_not_read() -> None:
    by_obstore, by_boto3 = Get("plain"), Get("odd//key")
    with recorder() as (store, paths):
        outcomes = dict(store.get_many([by_obstore, by_boto3], max_bytes=1000))

    assert [type(outcomes[position]) for position in (0, 1)] == [TooLarge, TooLarge]
    assert len(paths) == 2


def test_a_key_that_the_server_refuses_is_not_found(s3_store: S3Store) -> None:
    # not StoreUnavailable, which would have its whole message tried again and again
    with pytest.raises(ObjectNotFound, match="InvalidRequest"):
        s3_store.get("a/../b")


def test_a_version_is_read_though_the_object_changed(store_settings: StoreSettings) -> None:
    bucket = f"versioned-{uuid4().hex[:12]}"
    create_bucket(bucket, store_settings)
    with closing(s3_client(store_settings)) as client, closing(S3Store(bucket, store_settings)) as store:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        version = client.put_object(Bucket=bucket, Key="key", Body=b"first")["VersionId"]
        store.put("key", b"second")

        outcomes = dict(store.get_many([Get("key", version_id=version), Get("key")]))

    assert [getattr(outcomes[position], "data", None) for position in (0, 1)] == [b"first", b"second"]


def test_no_credentials_anywhere_says_which_settings_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(NotReady, match="SHOAL_STORE__CREDENTIALS_FILE"):
        S3Store("bucket", StoreSettings(endpoint="http://127.0.0.1:1"))
