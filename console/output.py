"""How commands speak: tables and bars for people on a terminal, one JSON object for scripts."""

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from producer.errors import ConfigurationError

AS_IT_IS: Final[dict[str, Any]] = {"markup": False, "emoji": False}  # names of files may hold [brackets]
err = Console(stderr=True, **AS_IT_IS)
PIPED_WIDTH = 160


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document on one line, and nothing else on standard output."""
    print(json.dumps(document, default=str))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")  # an id that is cut is no id
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console()
    Console(width=None if console.is_terminal else PIPED_WIDTH, **AS_IT_IS).print(drawn)


def one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    """Give the value of an option.

    Raises:
        ConfigurationError: it is none of the allowed ones; names them.
    """
    if value not in allowed:
        raise ConfigurationError(f"{option} is one of {', '.join(allowed)}, not {value}")
    return value


class Rate(ProgressColumn):
    """How many of a unit, by the second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Draw it; nothing while it is not known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}")


class Bars:
    """The console's `training.progress.Progress`: a bar per stage with the time left, on standard error."""

    def __init__(self, rate: str | None = None) -> None:
        """Begin with no stage; `rate` is the unit of a speed to show."""
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            *([Rate(rate)] if rate else []),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            redirect_stdout=False,  # to standard error: what a script reads would be lost
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        elif self._task is not None:
            self._progress.remove_task(self._task)  # a message follows, which half a bar would stand before
        if self._progress.tasks:
            self._progress.stop()
        else:  # not even an empty line stays
            self._progress.live.transient = True
            self._progress.live.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """See Progress."""
        self._finish()
        self._task = self._progress.add_task(name, total=total)

    def advance(self, done: int, total: int | None = None) -> None:
        """See Progress."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """See Progress."""
        self._progress.console.print(f"  {text}", style="dim", highlight=False)

    def _finish(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._task]
            if task.total is None:  # its number of steps was never known
                done = task.completed or 1
                self._progress.update(self._task, completed=done, total=done)
            self._progress.stop_task(self._task)
