"""What every Shoal process is told, and how: environment first, then the embedded stack's file.

`SHOAL_STORE__ENDPOINT` sets `settings.store.endpoint`, and so on. `shoal up` writes where its servers are
to `.shoal/stack.env`, so that other commands in the same folder find them.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from model_store.admission import DecodeLimits
from model_store.logs import LogSettings
from model_store.settings import StoreSettings
from producer.errors import ConfigurationError
from producer.settings import BrokerSettings

PREFIX: Final = "SHOAL_"
ALIKE: Final = 0.75  # a name less like the given one than this is no help
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


def variables(kind: type[BaseModel], prefix: str = PREFIX) -> dict[str, FieldInfo]:
    """Give the settings of a process by the names of their variables."""
    found: dict[str, FieldInfo] = {}
    for name, field in kind.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= variables(field.annotation, f"{variable}__")
        else:
            found[variable] = field
    return found


def refuse_unknown(*kinds: type[ProcessSettings]) -> None:
    """Demand that what the environment calls `SHOAL_...` is a setting; sections of other processes may be so.

    Raises:
        ConfigurationError: names each variable that none of them reads, with the nearest right name.
    """
    known = [name for kind in kinds for name in variables(kind)]
    foreign = set(SECTIONS).difference(*(kind.model_fields for kind in kinds))
    unknown = []
    for given in os.environ:
        name = given.upper()
        if not given.startswith(PREFIX) or name.removeprefix(PREFIX).partition("__")[0].lower() in foreign:
            continue
        if not any(f"{right}__".startswith(f"{name}__") for right in known):  # part of a name: set as JSON
            near = get_close_matches(name, known, n=1, cutoff=ALIKE)
            hint = f"did you mean {near[0]}?" if near else "`shoal settings` lists all"
            unknown.append(f"unknown setting {given}; {hint}")
    if unknown:
        raise ConfigurationError("; ".join(unknown))


def load_settings(kind: type[S]) -> S:
    """Read the settings of one process.

    Raises:
        ConfigurationError: a variable is unknown or its value is wrong; names the variable.
    """
    refuse_unknown(kind)
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
