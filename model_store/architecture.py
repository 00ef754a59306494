"""The shapes of an autoencoder, as settings and manifests carry them; importing this brings no torch."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

RESIDUAL: Final = "residual-autoencoder-v1"
LITE0: Final = "efficientnet-lite0-autoencoder-v1"
LITE0_FEATURES: Final = 1280  # what EfficientNet-Lite0 pools
SIDES: Final = range(32, 225, 32)
LITE0_DRAWN: Final = 4  # times smaller than what it sees is what its decoder draws: no detail is asked of it


def _side(given: int) -> int:
    if given not in SIDES:
        told = "it takes {sides} pixels, not {given}"
        raise PydanticCustomError("input_size", told, {"sides": ", ".join(map(str, SIDES)), "given": given})
    return given


class Architecture(BaseModel):
    """Everything that decides the shapes of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["residual-autoencoder-v1", "efficientnet-lite0-autoencoder-v1"] = Field(
        RESIDUAL, description="family of networks; the recipe sets it"
    )
    input_size: Annotated[int, AfterValidator(_side)] = Field(
        32,
        description="side S of the square input, in pixels: 32, 64 ... 224; with `pretrained` 160 where it "
        "is not set",
    )
    widths: tuple[int, ...] = Field(
        (24, 48, 96),
        min_length=2,
        max_length=5,
        description="channels of each stage; each after the first halves S. With `pretrained`: the decoder's",
    )
    embedding_dim: int = Field(
        96, ge=2, le=2048, description="length D of the embedding; with `pretrained` 1280"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse widths that are not positive, more stages than the side can be halved, a wrong D."""
        if min(self.widths) < 1:
            raise ValueError("every width must be at least 1")
        if self.drawn_size % (2 ** len(self.widths)):
            raise ValueError(f"{self.drawn_size} pixels cannot be halved {len(self.widths)} times")
        if self.name == LITE0 and self.embedding_dim != LITE0_FEATURES:
            raise ValueError(f"embedding_dim of {LITE0} is {LITE0_FEATURES}: leave it unset")
        return self

    @property
    def drawn_size(self) -> int:
        """Side of what the decoder draws, in pixels; it is brought to `input_size`."""
        return self.input_size // (LITE0_DRAWN if self.name == LITE0 else 1)

    @property
    def grid(self) -> int:
        """Side of the decoder's first feature map, in cells."""
        return int(self.drawn_size // 2 ** len(self.widths))
