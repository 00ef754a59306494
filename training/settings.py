"""What a trainer is told."""

from pathlib import Path

from pydantic import Field

from model_store.process_settings import ProcessSettings
from training.backfill import BackfillSettings
from training.promotion import PromotionPolicy
from training.train import TrainSettings


class TrainingSettings(TrainSettings):
    """When to retrain, on what, and when to promote."""

    collections: tuple[str, ...] = Field(("default",), description="which are retrained on schedule")
    schedule: str = Field("0 3 * * *", description="cron, in UTC: minute hour day-of-month month day-of-week")
    every_s: float | None = Field(None, gt=0, description="instead of the cron schedule: this often")
    min_images: int = Field(200, ge=20, description="a smaller corpus is not retrained on")
    max_images: int = Field(100_000, gt=0, description="of a larger ledger a sample is taken")
    max_image_bytes: int = Field(20 * 1024 * 1024, gt=0, description="larger uploads are left out")
    workdir: Path | None = Field(
        None, description="for decoded pictures while training; default: the system's"
    )
    signing_key_file: Path | None = Field(
        None,
        description="Ed25519 private key (PEM) that new models are signed with; see `shoal models keygen`",
    )
    startup_timeout_s: float = Field(60.0, gt=0, description="to find broker, store and buckets")
    promotion: PromotionPolicy = Field(default_factory=PromotionPolicy)
    backfill: BackfillSettings = Field(default_factory=BackfillSettings)


class Settings(ProcessSettings):
    """Everything a trainer process is told."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)
