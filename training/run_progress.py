"""Tells how a run goes, and ends it where it has been taken up by another trainer."""

from training.progress import Progress
from training.run_lease import RunLease


class RunProgress:
    """A Progress that raises RunLost as soon as the run is no longer ours."""

    def __init__(self, progress: Progress, lease: RunLease) -> None:
        self._progress = progress
        self._lease = lease

    def stage(self, name: str, total: int | None = None) -> None:
        """See Progress."""
        self._go_on()
        self._progress.stage(name, total)

    def advance(self, done: int, total: int | None = None) -> None:
        """See Progress."""
        self._go_on()
        self._progress.advance(done, total)

    def note(self, text: str) -> None:
        """See Progress."""
        self._progress.note(text)

    def _go_on(self) -> None:
        self._lease.progressed()
        self._lease.check()
