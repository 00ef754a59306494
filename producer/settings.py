"""How to reach the broker, and how hard to lean on it."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)

from producer.signing import Keyring


def _has_certificates(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError):
        raise ValueError(f"{file} holds no certificates in PEM") from None
    return file


CaFile = Annotated[FilePath, AfterValidator(_has_certificates)]


def _check_host(parts: SplitResult) -> None:
    """Refuse what libraries would stumble over later, and then say with the password in it."""
    try:
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # quotes what stands there
        named = False
    if not named:
        raise ValueError(
            "a URL has a host, and a port that is a number, such as redis://:password@host:6379/0"
        )


class BrokerSettings(BaseModel):
    """Where Redis or Valkey is. Give Shoal a database of its own: its workers own every queue in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://[user]:password@host:port/db, or rediss:// for TLS",
    )
    training_url: SecretStr | None = Field(
        None, description="broker of the trainer; by default the same server's next database"
    )
    ca_file: CaFile | None = Field(
        None, description="PEM of the authority behind the broker's certificate; unset: the system's ones"
    )
    client_cert_file: FilePath | None = Field(
        None, description="PEM shown to a broker that asks for a certificate; may hold its key too"
    )
    client_key_file: FilePath | None = Field(None, description="PEM of the key to client_cert_file")
    connect_timeout_s: float = Field(5.0, gt=0, description="to open a connection")
    socket_timeout_s: float = Field(30.0, gt=0, description="for one command's answer")
    health_check_interval_s: int = Field(10, gt=0, description="between checks of idle connections")
    lease_s: float = Field(
        10.0,
        ge=1,
        description="a worker that has not been heard of for this long is taken for dead, and others get "
        "its messages; a living one renews its leases eight times as often, however long its work takes",
    )
    max_queue_depth: int = Field(100_000, gt=0, description="waiting messages per lane before QueueFull")
    plain_queue: str = Field(
        "celery",
        description="also served, as the interactive lane: where Celery clients publish that name no "
        "queue; empty to turn off",
    )
    signing_keys: tuple[SecretStr, ...] = Field(
        (),
        description="shared secrets, each id:secret of 32 characters or more: the first signs messages, all "
        "verify them. With any, worker and trainer refuse what is not signed",
    )

    @field_validator("signing_keys")
    @classmethod
    def _keys_can_be_read(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        Keyring(keys)
        return keys

    @model_validator(mode="after")
    def _urls_are_redis(self) -> Self:
        for url in (self.url, self.training_url):
            if url is not None:
                self._check(url.get_secret_value())
        if self.client_key_file is not None and self.client_cert_file is None:
            raise ValueError("client_key_file goes with client_cert_file")
        return self

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"}:
            raise ValueError("a broker URL starts with redis:// or rediss://")
        if not (parts.path.strip("/") or "0").isdecimal():
            raise ValueError("a broker URL ends with the number of a database, such as /0")
        if parts.query or parts.fragment:  # such as ssl_cert_reqs=none, or the rest of a password
            raise ValueError(
                "a broker URL has no ?options, they are settings of their own; and in a password "
                "# ? / @ are written %23 %3F %2F %40"
            )
        _check_host(parts)
        if parts.scheme == "redis" and (self.ca_file or self.client_cert_file):
            raise ValueError("certificates are set, but redis:// would send all in the clear: use rediss://")

    def for_training(self) -> "BrokerSettings":
        """Give the trainer's broker: long runs must not share a visibility timeout with short messages."""
        if self.training_url is not None:
            return self.model_copy(update={"url": self.training_url})
        parts = urlsplit(self.url.get_secret_value())
        database = int(parts.path.strip("/") or 0) + 1
        return self.model_copy(update={"url": SecretStr(urlunsplit(parts._replace(path=f"/{database}")))})

    def tls_options(self) -> dict[str, Any]:
        """Give what redis-py and kombu must be told: certificate and host name are verified, always.

        Empty for `redis://`. kombu verifies nothing unless told to.
        """
        if urlsplit(self.url.get_secret_value()).scheme != "rediss":
            return {}
        files = {
            "ssl_ca_certs": self.ca_file,
            "ssl_certfile": self.client_cert_file,
            "ssl_keyfile": self.client_key_file,
        }
        given = {name: str(file) for name, file in files.items() if file is not None}
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **given}

    def keyring(self) -> Keyring:
        """Give what signs and verifies messages."""
        return Keyring(self.signing_keys)

    def masked_url(self) -> str:
        """Show the URL without its password, for logs and people."""
        parts = urlsplit(self.url.get_secret_value())
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"***@{host}" if parts.password else host))


class ProducerSettings(BaseModel):
    """How single submits are gathered into messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    linger_s: float = Field(0.02, ge=0, description="under load, how long a reference waits for company")
    max_buffered: int = Field(20_000, gt=0, description="references held in memory before submit blocks")
    timeout_s: float = Field(10.0, gt=0, description="to get a message into Redis, retries included")
