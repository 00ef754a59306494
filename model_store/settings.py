"""Where the object store is, and how much of it a worker may touch."""

import configparser
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from model_store.signature import TrustedKeys
from producer.errors import ConfigurationError
from producer.settings import CaFile


class StoreSettings(BaseModel):
    """An S3-compatible store: SeaweedFS, AWS S3, or another whose conditional writes really exclude."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(
        None, description="http://host:port, or https:// for TLS; unset means AWS itself"
    )
    ca_file: CaFile | None = Field(
        None, description="PEM of the authority behind the store's certificate; unset: the usual ones"
    )
    region: str = Field("us-east-1", description="as the store calls it")
    bucket: str = Field("shoal", description="holds bundles, results and the ledger; must exist")
    uploads_bucket: str = Field("uploads", description="where pictures are read from; must exist")
    more_uploads_buckets: tuple[str, ...] = Field((), description="further buckets that references may name")
    credentials_file: Path | None = Field(
        None, description="AWS shared-credentials file, profile [default]; else the usual AWS sources"
    )
    access_key: SecretStr | None = Field(None, description="instead of a credentials file")
    secret_key: SecretStr | None = Field(None, description="goes with access_key")
    connect_timeout_s: float = Field(3.0, gt=0, description="to open a connection")
    timeout_s: float = Field(
        10.0, gt=0, description="for the whole of one request, its answer's body included"
    )
    max_retries: int = Field(
        8, ge=0, description="of one request, with backoff and jitter, on errors that may pass"
    )
    retry_for_s: float = Field(15.0, gt=0, description="no retry of a request after this long")
    check_etag: bool = Field(
        True,
        description="bytes must have their ETag's MD5; false where KMS or client keys encrypt the bucket",
    )
    max_in_flight: int = Field(
        64,
        gt=0,
        description="most requests at once, of one process to one bucket; single ones go beside them",
    )
    trusted_keys: tuple[str, ...] = Field(
        (),
        description="Ed25519 public keys in base64, as `shoal models keygen` prints them: with any, a model "
        "serves only if one of them signed it",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
                raise ValueError("an endpoint is http://host:port or https://host:port; keys are set apart")
        return endpoint

    @model_validator(mode="after")
    def _certificates_are_used(self) -> Self:
        if self.ca_file is not None and (self.endpoint or "https:").startswith("http:"):
            raise ValueError("ca_file is set, but http:// would send all in the clear: use https://")
        return self

    @field_validator("trusted_keys")
    @classmethod
    def _keys_can_be_read(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        TrustedKeys(keys)
        return keys

    @property
    def allowed_buckets(self) -> tuple[str, ...]:
        """List the buckets that a reference may name."""
        return (self.uploads_bucket, *self.more_uploads_buckets)

    @cached_property
    def keys(self) -> tuple[str, str] | None:
        """Give access key and secret key, or None for AWS's usual sources.

        Raises:
            ConfigurationError: the credentials file is absent or has no [default] profile, or only one
                of the two keys is set.
        """
        if self.access_key is not None and self.secret_key is not None:
            return self.access_key.get_secret_value(), self.secret_key.get_secret_value()
        if self.access_key is not None or self.secret_key is not None:
            raise ConfigurationError(
                "SHOAL_STORE__ACCESS_KEY and SHOAL_STORE__SECRET_KEY go together: set both or neither"
            )
        if self.credentials_file is None:
            return None
        parser = configparser.ConfigParser(interpolation=None)
        try:
            found = parser.read(self.credentials_file)
        except (configparser.Error, UnicodeDecodeError):
            # not from the cause: it quotes the line, which may be a secret
            raise ConfigurationError(
                f"{self.credentials_file} is not an AWS shared-credentials file: "
                "correct SHOAL_STORE__CREDENTIALS_FILE"
            ) from None
        if not found:
            raise ConfigurationError(
                f"no credentials file at {self.credentials_file}: set SHOAL_STORE__CREDENTIALS_FILE"
            )
        try:
            section = parser["default"]
            return section["aws_access_key_id"], section["aws_secret_access_key"]
        except KeyError as error:
            raise ConfigurationError(
                f"{self.credentials_file} needs a [default] profile with {error}"
            ) from error
