"""What long work tells while it goes on: the console draws bars from it, the trainer logs it."""

import time
from typing import Final, Protocol

import structlog

log = structlog.get_logger(__name__)

SAY_EVERY_S: Final = 10.0


class Progress(Protocol):
    """Receives the stages of a run, one after another."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of `total` steps, if their number is known."""

    def advance(self, done: int, total: int | None = None) -> None:
        """Tell how many steps of the stage are done; the total may change on the way."""

    def note(self, text: str) -> None:
        """Say something worth keeping."""


class Silent:
    """Tells nobody."""

    def stage(self, name: str, total: int | None = None) -> None:
        """See Progress."""

    def advance(self, done: int, total: int | None = None) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""


SILENT: Final = Silent()


class LoggedProgress:
    """Writes stages to the log, and a line every few seconds within one."""

    def __init__(self) -> None:
        self._name = ""
        self._said_at = 0.0
        self._total: int | None = None

    def stage(self, name: str, total: int | None = None) -> None:
        """See Progress."""
        self._name, self._total, self._said_at = name, total, time.monotonic()
        log.info("stage begins", stage=name)

    def advance(self, done: int, total: int | None = None) -> None:
        """See Progress."""
        self._total = total if total is not None else self._total
        if time.monotonic() - self._said_at > SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.info("stage goes on", stage=self._name, done=done, total=self._total)

    def note(self, text: str) -> None:
        """See Progress."""
        log.info("note", stage=self._name, text=text)
