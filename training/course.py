"""How a training went, in numbers: `course.json` of a bundle. It names no picture and shows none."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from producer.errors import BundleInvalid
from training.choice_of_k import Choice
from training.fit import EpochReport, FittedAutoencoder

COURSE = "course.json"


class Epoch(BaseModel):
    """One epoch: mean losses by name, `total` among them; accuracy in [0, 1] where it was measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: int
    train: dict[str, float]
    validation: dict[str, float]
    seconds: float
    accuracy: float | None = None

    @classmethod
    def of(cls, report: EpochReport) -> Self:
        """Take what the fit reports."""
        return cls(
            epoch=report.epoch,
            train=report.train,
            validation=report.validation,
            seconds=report.seconds,
            accuracy=report.accuracy,
        )


class Course(BaseModel):
    """The whole of it. `choice` is None where the number of clusters was given."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epochs: tuple[Epoch, ...] = ()
    planned_epochs: int = 0
    stopped_early: bool = False
    fit_s: float = 0.0
    device: str = ""
    choice: Choice | None = None

    @classmethod
    def of(cls, fitted: FittedAutoencoder, choice: Choice | None) -> Self:
        """Take what training leaves."""
        history: Sequence[EpochReport] = fitted.history
        return cls(
            epochs=tuple(Epoch.of(report) for report in history),
            planned_epochs=history[-1].n_epochs if history else 0,
            stopped_early=fitted.stopped_early,
            fit_s=fitted.seconds,
            device=fitted.device,
            choice=choice,
        )

    def to_bytes(self) -> bytes:
        """Write the file."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the file.

        Raises:
            BundleInvalid: it is something else.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BundleInvalid(f"{COURSE} cannot be read by this version of Shoal: {error}") from error
