"""The shapes of an autoencoder, as settings and manifests carry them; importing this brings no torch."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Architecture(BaseModel):
    """Everything that decides the shapes of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["residual-autoencoder-v1"] = Field(
        "residual-autoencoder-v1", description="family of networks; a new one gets a new name"
    )
    input_size: Literal[32, 64, 96] = Field(32, description="side S of the square input, in pixels")
    widths: tuple[int, ...] = Field(
        (24, 48, 96),
        min_length=2,
        max_length=5,
        description="channels of each stage; each after the first halves S",
    )
    embedding_dim: int = Field(96, ge=2, le=2048, description="length D of the embedding")

    @model_validator(mode="after")
    def _halves_exactly(self) -> Self:
        """Refuse widths that are not positive, and more stages than the side can be halved."""
        if min(self.widths) < 1:
            raise ValueError("every width must be at least 1")
        if self.input_size % (2 ** len(self.widths)):
            raise ValueError(f"input_size {self.input_size} cannot be halved {len(self.widths)} times")
        return self

    @property
    def grid(self) -> int:
        """Side of the last feature map, in cells."""
        return int(self.input_size // 2 ** len(self.widths))
