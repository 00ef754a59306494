"""What every Shoal process is told, and how: environment first, then the embedded stack's file.

`SHOAL_STORE__ENDPOINT` sets `settings.store.endpoint`, and so on. `shoal up` writes where its servers are
to `.shoal/stack.env`, so that other commands in the same folder find them.
"""

import os
from pathlib import Path
from typing import Final, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from model_store.admission import DecodeLimits
from model_store.logs import LogSettings
from model_store.settings import StoreSettings
from producer.errors import ConfigurationError
from producer.settings import BrokerSettings

PREFIX: Final = "SHOAL_"
SECTIONS: Final = ("broker", "store", "decode", "log", "worker", "training")
STACK_FILE: Final = Path(".shoal/stack.env")


class ProcessSettings(BaseSettings):
    """What worker, trainer and console have in common."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=STACK_FILE,
        extra="ignore",  # the sections of the other processes
    )

    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    decode: DecodeLimits = Field(default_factory=DecodeLimits)
    log: LogSettings = Field(default_factory=LogSettings)


S = TypeVar("S", bound=ProcessSettings)


def load_settings(kind: type[S]) -> S:
    """Read the settings of one process.

    Raises:
        ConfigurationError: a variable is unknown or its value is wrong; names the variable.
    """
    for name in os.environ:
        section = name.removeprefix(PREFIX).partition("__")[0].lower()
        if name.startswith(PREFIX) and section not in SECTIONS:
            known = ", ".join(f"{PREFIX}{section.upper()}__..." for section in SECTIONS)
            raise ConfigurationError(f"{name} is not a setting of Shoal; there are {known}")
    try:
        return kind()
    except SettingsError as error:
        section = str(error).split('"')[1].upper()
        raise ConfigurationError(
            f'one of {PREFIX}{section}__... is a list, and not written as JSON, such as ["a", "b"]'
        ) from None  # the cause holds the value, which may be a secret
    except ValidationError as error:
        faults = (f"{PREFIX}{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError("; ".join(faults)) from None  # the cause would show the values, secrets too
