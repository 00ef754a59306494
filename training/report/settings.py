"""What a report shows, and how much."""

from pydantic import BaseModel, ConfigDict, Field


class ReportSettings(BaseModel):
    """The report of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="make one at the end of every run")
    kept: int = Field(50, ge=1, description="the newest so many reports of a collection stay in the store")
    map_pictures: int = Field(
        2000, ge=50, le=2000, description="pictures on the map, and that silhouettes are measured on"
    )
    map_steps: int = Field(500, ge=250, le=5000, description="of t-SNE; more take longer")
    sheets: int = Field(40, ge=1, le=200, description="clusters shown with pictures: the largest")
    pictures_per_row: int = Field(8, ge=1, le=24, description="of a cluster's sheet")
    reconstructions: int = Field(16, ge=1, le=64, description="pictures shown beside their reconstruction")
    accuracy_every: int = Field(
        5, ge=1, description="epochs between looks at the accuracy, where there are labels"
    )
