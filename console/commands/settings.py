"""`shoal settings`: every setting, its default, and what it does; `docs/settings.md` is its output."""

from collections.abc import Iterator
from typing import Any

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from model_store.process_settings import PREFIX
from training.settings import Settings as TrainerSettings
from worker.settings import Settings as WorkerSettings

HEAD = """# Settings

Environment variables; two underscores go one level down. `shoal up` writes those of its servers to
`.shoal/stack.env`, which other commands in the same folder read; the environment wins. Lists are JSON.
A mistyped name is refused by every command and process that reads its section.

| variable | default | is |
|---|---|---|
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(settings)


def settings() -> None:
    """List every setting as a Markdown table."""
    print(settings_table(), end="")


def settings_table() -> str:
    """Write the table."""
    rows: dict[str, str] = {}
    for kind in (WorkerSettings, TrainerSettings):
        rows |= dict(_rows(kind, PREFIX))
    return HEAD + "".join(rows.values())


def _rows(kind: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{variable}__")
        else:
            yield variable, f"| `{variable}` | {_shown(field)} | {field.description} |\n"


def _shown(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "unset"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f"`{list(value) if isinstance(value, tuple) else value}`"
