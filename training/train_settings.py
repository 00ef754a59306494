"""What a run is told: everything that decides what it makes of a corpus. Importing this brings no torch."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from model_store.preprocess import Preprocess
from training.cluster_settings import ClusterSettings
from training.fit_settings import FitSettings
from training.identity import IdentitySettings
from training.report.settings import ReportSettings


class TrainSettings(BaseModel):
    """Everything that decides what a run makes of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: FitSettings = Field(default_factory=FitSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    max_trimmed: float = Field(
        0.01, ge=0, lt=1, description="pictures beyond the champion's p99.9 are outliers if no larger a share"
    )
    labels_file: Path | None = Field(
        None, description="CSV of name,label without a header; only for the accuracy gate, never trained on"
    )
    report: ReportSettings = Field(default_factory=ReportSettings)
    held_out: float = Field(0.1, gt=0, lt=0.5, description="share of pictures for early stop and calibration")

    @property
    def preprocess(self) -> Preprocess:
        """How pictures must be decoded for this run."""
        return Preprocess(input_size=self.fit.network.input_size)
