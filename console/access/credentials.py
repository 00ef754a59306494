"""The passwords and keys of the roles: made once, kept in one file, or given by the environment."""

import json
import re
import secrets
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from producer.errors import ConfigurationError

PREFIX: Final = "DEPLOY_"
SAFE: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}")


def _safe(secret: SecretStr) -> SecretStr:
    if not SAFE.fullmatch(secret.get_secret_value()):
        raise ValueError("takes 16 to 128 letters, digits and . _ ~ -, since it becomes part of a URL")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_safe)]


def _new(prefix: str = "") -> SecretStr:
    return SecretStr(prefix + secrets.token_hex(24))


class RoleCredentials(BaseModel):
    """What one role shows to the broker (password) and to the store (access key and secret key)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    password: Secret = Field(default_factory=_new)
    access_key: Secret = Field(default_factory=lambda: SecretStr("SHOAL" + secrets.token_hex(8).upper()))
    secret_key: Secret = Field(default_factory=_new)


class Credentials(BaseSettings):
    """Everybody's. `DEPLOY_WORKER__PASSWORD` gives the worker's password, and so on."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    admin: RoleCredentials = Field(default_factory=RoleCredentials)
    producer: RoleCredentials = Field(default_factory=RoleCredentials)
    worker: RoleCredentials = Field(default_factory=RoleCredentials)
    trainer: RoleCredentials = Field(default_factory=RoleCredentials)
    console: RoleCredentials = Field(default_factory=RoleCredentials)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what was kept, which comes as arguments."""
        return env_settings, init_settings

    def as_text(self) -> str:
        """Give the file that keeps them, secrets in the clear."""
        plain = {
            name: {key: secret.get_secret_value() for key, secret in dict(getattr(self, name)).items()}
            for name in type(self).model_fields
        }
        return json.dumps(plain, indent=1)


def credentials_of(file: Path) -> Credentials:
    """Give the environment's, else those that `file` keeps, else new ones.

    Raises:
        ConfigurationError: one of them cannot be a secret, or the file cannot be read; shows none.
    """
    try:
        kept = json.loads(file.read_text()) if file.exists() else {}
        return Credentials(**kept)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"in {PREFIX}... or {file}: {'; '.join(faults)}") from None
    except (OSError, ValueError, TypeError):
        raise ConfigurationError(f"{file} cannot be read: restore it, or remove it for new ones") from None
