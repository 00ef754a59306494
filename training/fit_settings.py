"""What to train and for how long: the settings of one training run, and the steps that follow from them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.architecture import Architecture
from producer.errors import ConfigurationError, TrainingFailed
from training.augmentation import Augmentation

if TYPE_CHECKING:
    import torch

LEAST_PICTURES = 8  # batch norm and the balance over a batch mean nothing below
LEAST_STEPS_PER_EPOCH = 10  # a small corpus is passed more than once per epoch


class FitSettings(BaseModel):
    """How an autoencoder is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str = Field(
        "pure",
        description="objective: pixel (reconstruction only), pure (self-supervised) or distilled "
        "(from a frozen teacher, best for photographs; needs the extra `teacher`)",
    )
    architecture: Architecture = Field(Architecture(), description="shapes of encoder and decoder")
    augmentation: Augmentation = Field(Augmentation(), description="how far random views may differ")
    epochs: int = Field(25, ge=1, description="passes over the corpus, within min_steps and max_steps")
    min_steps: int = Field(
        300, ge=1, description="a small corpus is passed more often, to reach this many steps"
    )
    max_steps: int = Field(
        4000, ge=1, description="a large corpus is passed less often, to keep under this many"
    )
    batch_size: int = Field(128, ge=2, description="pictures per step; fewer if the corpus is smaller")
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's, at the peak of the one-cycle schedule")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW's")
    patience: int = Field(
        8, ge=1, description="epochs without gain in validation loss after which to stop, once past min_steps"
    )
    from_champion: bool = Field(
        True, description="start from the champion's weights where recipe and architecture are the same"
    )
    random_state: int = Field(0, ge=0, description="seed of weights, order and views")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA when there is one")

    def torch_device(self) -> "torch.device":
        """Give the device to train on.

        Raises:
            ConfigurationError: CUDA is asked for and there is none.
        """
        import torch  # noqa: PLC0415 - takes seconds, and most who read settings do not train

        present = torch.cuda.is_available()
        if self.device == "cuda" and not present:
            raise ConfigurationError("device is 'cuda', but torch sees none; set it to 'auto' or 'cpu'")
        return torch.device("cuda" if present and self.device != "cpu" else "cpu")


@dataclass(frozen=True)
class Plan:
    """How many steps a run takes at most, in epochs of equal length."""

    batch_size: int
    steps_per_epoch: int
    n_epochs: int

    @property
    def n_steps(self) -> int:
        """All steps, if nothing stops the run early."""
        return self.steps_per_epoch * self.n_epochs


def plan_steps(n_pictures: int, settings: FitSettings) -> Plan:
    """Turn a corpus and a budget into steps.

    Passes are what a large corpus needs, steps are what a small one needs: `epochs` counts passes,
    `min_steps` and `max_steps` bound them. The whole number of epochs may overshoot by one epoch.

    Raises:
        TrainingFailed: too few pictures to train on.
    """
    if n_pictures < LEAST_PICTURES:
        raise TrainingFailed(
            f"{n_pictures} pictures are too few to train on: at least {LEAST_PICTURES} are needed, "
            "and hundreds are useful"
        )
    batch_size = min(settings.batch_size, n_pictures)
    per_pass = -(-n_pictures // batch_size)
    wanted = max(settings.epochs * per_pass, settings.min_steps)
    n_steps = min(wanted, settings.max_steps)
    steps_per_epoch = min(max(per_pass, LEAST_STEPS_PER_EPOCH), n_steps)
    return Plan(batch_size, steps_per_epoch, -(-n_steps // steps_per_epoch))
