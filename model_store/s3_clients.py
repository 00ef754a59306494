"""The two clients of an S3-compatible store, made from the settings."""

import threading
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store as FastStore

from model_store.settings import StoreSettings
from producer.errors import NotReady

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def s3_client(settings: StoreSettings) -> "S3Client":
    """Make the boto3 client: buckets, conditions, listings, presigned URLs."""
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.timeout_s,
        retries={"total_max_attempts": 1},  # model_store.retry tries again
        max_pool_connections=settings.max_in_flight,
        s3={"addressing_style": "path"} if settings.endpoint else {},
    )
    session = _session(settings)
    with _making:
        client: S3Client = session.client(
            "s3",
            endpoint_url=settings.endpoint,
            config=config,
            verify=str(settings.ca_file) if settings.ca_file else None,
        )
    return client


_making = threading.Lock()  # a client may be used by many threads, a session may not


def _session(settings: StoreSettings) -> boto3.Session:
    access_key, secret_key = settings.keys or (None, None)
    return _session_of(access_key, secret_key, settings.region)


@cache
def _session_of(access_key: str | None, secret_key: str | None, region: str) -> boto3.Session:
    """Make one session for all clients: each would read the description of S3 anew, 0.2 s of CPU."""
    return boto3.Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region)


def fast_store(bucket: str, settings: StoreSettings) -> FastStore:
    """Make obstore's client of one bucket.

    Raises:
        NotReady: there are no credentials.
    """
    session = _session(settings)
    if session.get_credentials() is None:
        raise NotReady(  # not for good: the metadata service that gives them may be slow
            "no servers: no embedded stack runs in this folder (start one with "
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
            "allow_http": (settings.endpoint or "").startswith("http:"),
            **({"root_certificate": settings.ca_file.read_bytes()} if settings.ca_file else {}),
            "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
            "timeout": timedelta(seconds=settings.timeout_s),
            "pool_max_idle_per_host": str(settings.max_in_flight),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=settings.timeout_s)},
    )
