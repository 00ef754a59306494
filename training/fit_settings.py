"""What to train and for how long: the settings of one training run, and the steps that follow from them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_store.architecture import LITE0, LITE0_FEATURES, RESIDUAL, Architecture
from model_store.counted import counted
from producer.errors import ConfigurationError, TrainingFailed
from training.augmentation import Augmentation

if TYPE_CHECKING:
    import torch

LEAST_PICTURES = 8  # batch norm and the balance over a batch mean nothing below
LEAST_STEPS_PER_EPOCH = 10  # a small corpus is passed more than once per epoch
PRETRAINED: Final = "pretrained"  # the recipe of another family than the others'
PRETRAINED_SIDE: Final = 160  # larger ones tell no more of kinds never seen: decisions/0011


class FitSettings(BaseModel):
    """How an autoencoder is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str = Field(
        "pure",
        description="objective: pixel (reconstruction only), pure (self-supervised), distilled (from a "
        "frozen teacher, for photographs) or pretrained (the teacher itself, for photographs on GPUs); the "
        "last two need the extra `teacher`",
    )
    architecture: Architecture = Field(
        Architecture(),
        description="shapes of encoder and decoder; what is not set is the recipe's: see `network`",
    )
    augmentation: Augmentation = Field(Augmentation(), description="how far random views may differ")
    epochs: int = Field(25, ge=1, description="passes over the corpus, within min_steps and max_steps")
    min_steps: int = Field(
        1500, ge=1, description="a small corpus is passed more often, to reach this many steps"
    )
    max_steps: int = Field(
        4000, ge=1, description="a large corpus is passed less often, to keep under this many"
    )
    batch_size: int = Field(
        128, ge=2, description="pictures per step, of all processes together; fewer if the corpus is smaller"
    )
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
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of convolutions; auto: on CUDA bfloat16, or float16 with scaled gradients where the GPU "
        "lacks it, on a CPU float32",
    )
    read_ahead: int = Field(2, ge=0, description="batches that are read while the device computes")

    @model_validator(mode="after")
    def _recipe_and_architecture_agree(self) -> Self:
        try:
            name = self.network.name
        except ValidationError as error:
            faults = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
            raise ValueError(f"architecture does not fit recipe {self.recipe!r}: {faults}") from error
        if name != self._family:
            raise ValueError(
                f"recipe {self.recipe!r} trains {self._family}, not {name}: leave architecture.name unset"
            )
        return self

    @property
    def _family(self) -> str:
        return LITE0 if self.recipe == PRETRAINED else RESIDUAL

    @property
    def network(self) -> Architecture:
        """Give the shapes that are trained: what `architecture` leaves unset is as the recipe wants it."""
        wanted: dict[str, object] = {"name": self._family}
        if self.recipe == PRETRAINED:
            wanted |= {"input_size": PRETRAINED_SIDE, "embedding_dim": LITE0_FEATURES}
        return Architecture.model_validate(wanted | self.architecture.model_dump(exclude_unset=True))

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

    def compute_dtype(self, device: "torch.device") -> "torch.dtype":
        """Give the type that convolutions compute in; weights are float32 all the same."""
        import torch  # noqa: PLC0415 - as above

        if self.precision != "auto":
            return torch.float32 if self.precision == "float32" else torch.bfloat16
        if device.type != "cuda":
            return torch.float32
        # by hardware: emulated, it is slower than float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


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


def plan_steps(n_pictures: int, settings: FitSettings, n_processes: int = 1) -> Plan:
    """Turn a corpus and a budget into steps.

    Passes are what a large corpus needs, steps are what a small one needs: `epochs` counts passes,
    `min_steps` and `max_steps` bound them. The whole number of epochs may overshoot by one epoch. Several
    processes share the pictures of a step evenly.

    Raises:
        TrainingFailed: too few pictures to train on.
        ConfigurationError: too few pictures in a step for so many processes.
    """
    if n_pictures < LEAST_PICTURES:
        raise TrainingFailed(
            f"{counted(n_pictures, 'picture')}, too few to train on: at least {LEAST_PICTURES} are needed, "
            "and hundreds are useful"
        )
    batch_size = min(settings.batch_size, n_pictures)
    batch_size -= batch_size % n_processes
    if n_processes > 1 and batch_size < n_processes * LEAST_PICTURES:
        raise ConfigurationError(
            f"{batch_size} pictures per step are too few for {n_processes} processes: raise batch_size to "
            f"{n_processes * LEAST_PICTURES} or more, or start fewer"
        )
    per_pass = -(-n_pictures // batch_size)
    wanted = max(settings.epochs * per_pass, settings.min_steps)
    n_steps = min(wanted, settings.max_steps)
    steps_per_epoch = min(max(per_pass, LEAST_STEPS_PER_EPOCH), n_steps)
    return Plan(batch_size, steps_per_epoch, -(-n_steps // steps_per_epoch))
