"""An ObjectStore on S3: obstore where objects pass by the thousand, boto3 for everything else.

Sixteen boto3 threads read 324 objects of
3 KB a second where obstore in threads reads over 2,000, at a tenth of the CPU
(`docs/decisions/0005-obstore.md`).
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import boto3
import obstore
from botocore.config import Config
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store as FastStore

from model_store.object_store import ANY_SIZE, Get, ObjectInfo, StoredObject
from model_store.s3_errors import boto3_errors, obstore_errors
from model_store.settings import StoreSettings
from producer.errors import (
    ConfigurationError,
    ShoalError,
    StoreUnavailable,
    TooLarge,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def s3_client(settings: StoreSettings) -> "S3Client":
    """Make the boto3 client: buckets, conditions, listings, presigned URLs."""
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.timeout_s,
        retries={"total_max_attempts": settings.max_retries + 1, "mode": "standard"},
        max_pool_connections=settings.max_in_flight,
        s3={"addressing_style": "path"} if settings.endpoint else {},
    )
    client: S3Client = _session(settings).client("s3", endpoint_url=settings.endpoint, config=config)
    return client


def _session(settings: StoreSettings) -> boto3.Session:
    access_key, secret_key = settings.keys or (None, None)
    return boto3.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=settings.region
    )


def check_bucket(bucket: str, settings: StoreSettings) -> None:
    """Ask for one bucket.

    Raises:
        ObjectNotFound: there is none of this name.
        StoreUnavailable, AccessDenied: the store does not answer, or refuses.
    """
    client = s3_client(settings)
    with contextlib.closing(client), boto3_errors(f"bucket {bucket}"):
        client.head_bucket(Bucket=bucket)


def create_bucket(bucket: str, settings: StoreSettings) -> bool:
    """Make a bucket; tells whether it is new.

    Raises:
        StoreUnavailable, AccessDenied: the store does not answer, or refuses.
    """
    client = s3_client(settings)
    with contextlib.closing(client), boto3_errors(f"bucket {bucket}"):
        try:
            client.create_bucket(Bucket=bucket)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            return False
        return True


class S3Store:
    """One bucket of an S3-compatible store. See ObjectStore for the guarantees."""

    def __init__(self, bucket: str, settings: StoreSettings) -> None:
        """Open no connection yet.

        Raises:
            ConfigurationError: there are no credentials.
        """
        self.bucket = bucket
        self._client = s3_client(settings)
        self._fast = _fast_store(bucket, settings)
        self._window = settings.max_in_flight
        self._pool = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix=f"s3-{bucket}")

    def get(self, key: str) -> StoredObject:
        """See ObjectStore."""
        return self._get(Get(key), ANY_SIZE)

    def get_many(
        self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE
    ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
        """See ObjectStore. Up to `max_in_flight` requests of this bucket are on their way at once."""
        waiting = enumerate(gets)
        on_their_way: dict[Future[StoredObject | ShoalError], int] = {}
        while True:
            for position, wanted in islice(waiting, self._window - len(on_their_way)):
                on_their_way[self._pool.submit(self._get_or_error, wanted, max_bytes)] = position
            if not on_their_way:
                return
            done, _ = wait(on_their_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield on_their_way.pop(future), future.result()

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        """See ObjectStore."""
        if if_match is None and _plain(key):
            with obstore_errors(key):
                mode: Literal["create", "overwrite"] = "create" if create_only else "overwrite"
                done = obstore.put(self._fast, key, data, mode=mode, use_multipart=False)
                return (done["e_tag"] or "").strip('"')
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if create_only else {}
        if if_match is not None:
            condition = {"IfMatch": _quoted(if_match)}
        with boto3_errors(key, conditional=bool(condition)):
            answer = self._client.put_object(Bucket=self.bucket, Key=key, Body=data, **condition)
            return answer["ETag"].strip('"')

    def put_many(
        self, items: Mapping[str, bytes], *, create_only: bool = False
    ) -> dict[str, str | ShoalError]:
        """See ObjectStore."""
        futures = {
            key: self._pool.submit(self.put, key, data, create_only=create_only)
            for key, data in items.items()
        }
        outcome: dict[str, str | ShoalError] = {}
        for key, future in futures.items():
            try:
                outcome[key] = future.result()
            except ShoalError as error:
                outcome[key] = error
        return outcome

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ObjectStore. SeaweedFS orders folder by folder: `a/b` before `a-b`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        with boto3_errors(prefix):
            for page in pages:
                for item in page.get("Contents", []):
                    yield ObjectInfo(item["Key"], item["Size"], item["ETag"].strip('"'))

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See ObjectStore."""
        condition: dict[str, Any] = {} if if_match is None else {"IfMatch": _quoted(if_match)}
        with boto3_errors(key, conditional=bool(condition)):
            self._client.delete_object(Bucket=self.bucket, Key=key, **condition)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _get_or_error(self, wanted: Get, max_bytes: int) -> StoredObject | ShoalError:
        try:
            return self._get(wanted, max_bytes)
        except ShoalError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - a panic in obstore's Rust is no Exception
            return StoreUnavailable(f"the client failed on {wanted.key!r}: {type(error).__name__}: {error}")

    def _get(self, wanted: Get, max_bytes: int) -> StoredObject:
        if not _plain(wanted.key):
            return self._get_by_boto3(wanted, max_bytes)
        options: obstore.GetOptions = {}
        if wanted.version_id is not None:
            options["version"] = wanted.version_id
        if wanted.if_match is not None:
            options["if_match"] = _quoted(wanted.if_match)
        with obstore_errors(wanted.key):
            found = obstore.get(self._fast, wanted.key, options=options)
            _check_size(wanted.key, found.meta["size"], max_bytes)
            return StoredObject(found.bytes().to_bytes(), (found.meta["e_tag"] or "").strip('"'))

    def _get_by_boto3(self, wanted: Get, max_bytes: int) -> StoredObject:
        options = {} if wanted.version_id is None else {"VersionId": wanted.version_id}
        if wanted.if_match is not None:
            options["IfMatch"] = _quoted(wanted.if_match)
        with boto3_errors(wanted.key, reading=True):
            found = self._client.get_object(Bucket=self.bucket, Key=wanted.key, **options)  # type: ignore[arg-type]
            with contextlib.closing(found["Body"]) as body:
                _check_size(wanted.key, found["ContentLength"], max_bytes)
                return StoredObject(body.read(), found["ETag"].strip('"'))


def _fast_store(bucket: str, settings: StoreSettings) -> FastStore:
    session = _session(settings)
    if session.get_credentials() is None:
        raise ConfigurationError(
            "no credentials for the object store: no embedded stack runs in this folder (start one with "
            "`shoal up`), and neither SHOAL_STORE__CREDENTIALS_FILE nor SHOAL_STORE__ACCESS_KEY and "
            "SHOAL_STORE__SECRET_KEY nor one of AWS's own sources is set"
        )
    config: dict[str, Any] = {
        "region": settings.region,
        "virtual_hosted_style_request": settings.endpoint is None,
    }
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    return FastStore(
        bucket,
        config=config,  # type: ignore[arg-type]
        credential_provider=Boto3CredentialProvider(session),
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
            "timeout": timedelta(seconds=settings.timeout_s),
            "pool_max_idle_per_host": str(settings.max_in_flight),
        },
        retry_config={
            "max_retries": settings.max_retries,
            "retry_timeout": timedelta(seconds=settings.retry_for_s),
        },
    )


def _plain(key: str) -> bool:
    """Tell whether obstore takes the key as it is; it drops outer slashes and refuses `..` and `//`."""
    return (
        key.isprintable() and "\\" not in key and all(part not in ("", ".", "..") for part in key.split("/"))
    )


def _quoted(etag: str) -> str:
    return '"' + etag.strip('"') + '"'


def _check_size(key: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLarge(f"{key} has {size_bytes} bytes, the limit is {max_bytes}")
