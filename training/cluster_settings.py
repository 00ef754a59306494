"""How embeddings are clustered, as settings say it; `cluster.py` does it."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MOST_CLUSTERS: Final = 4096


def _number_or_auto(given: object) -> object:
    if given != "auto" and not (str(given).isdecimal() and 2 <= int(str(given)) <= MOST_CLUSTERS):
        raise PydanticCustomError(
            "n_clusters",
            "it takes a number from 2 to {most}, or auto: one cluster would tell no pictures apart",
            {"most": MOST_CLUSTERS},
        )
    return given


class ClusterSettings(BaseModel):
    """How embeddings are clustered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_clusters: Annotated[int | Literal["auto"], BeforeValidator(_number_or_auto)] = Field(
        10, description="K, from 2 on; `auto`: chosen by stability and silhouette, see docs/report.md"
    )
    n_clusters_range: tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(le=200)]] = Field(
        (2, 20), description="least and most clusters that `auto` chooses among"
    )
    auto_margin: float = Field(
        0.03, ge=0, description="`auto` leaves the champion's K only for one whose score is so much better"
    )
    n_components: int = Field(32, ge=1, description="P; fewer where the pictures do not have as many")
    in_memory: int = Field(
        50_000,
        ge=100,
        description="of more, PCA and KMeans start from a sample of so many, then see all part by part",
    )
    n_init: int = Field(50, ge=1, description="KMeans++ restarts; the best counts")
    continuity_margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="the champion's clusters are kept unless others have so much less inertia",
    )
    false_alarm_rate: float = Field(0.01, gt=0, lt=0.5, description="share of known pictures called unknown")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.n_clusters_range[0] > self.n_clusters_range[1]:
            raise ValueError(f"n_clusters_range {self.n_clusters_range} ends before it begins")
        return self

    @property
    def least_n_clusters(self) -> int:
        """The fewest clusters that there may be of it."""
        return self.n_clusters_range[0] if self.n_clusters == "auto" else self.n_clusters
