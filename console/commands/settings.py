"""`shoal settings`: every setting, its default, and what it does; `docs/settings.md` is its output."""

from typing import Any

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from model_store.process_settings import variables
from training.settings import Settings as TrainerSettings
from worker.settings import Settings as WorkerSettings

HEAD = """# Settings

Environment variables; two underscores go one level down. `shoal up` writes those of its servers to
`.shoal/stack.env`, which other commands in the same folder read; the environment wins. Lists are JSON.
A name that is none of these is refused, with the nearest right one, by every `shoal` command but
`shoal settings`. A worker that Celery starts (`celery -A worker.app`) leaves the section of the trainer
unread, and a trainer that of the worker.

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
    fields = variables(WorkerSettings) | variables(TrainerSettings)
    rows = (f"| `{name}` | {_shown(field)} | {field.description} |\n" for name, field in fields.items())
    return HEAD + "".join(rows)


def _shown(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "unset"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f"`{list(value) if isinstance(value, tuple) else value}`"
