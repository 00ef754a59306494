"""What a trainer is told."""

from pathlib import Path

from pydantic import Field

from model_store.process_settings import ProcessSettings
from training.backfill import BackfillSettings
from training.drift import DriftSettings
from training.promotion import PromotionPolicy
from training.snapshot import SnapshotSettings
from training.train_settings import TrainSettings
from training.triggers import TriggerSettings


class TrainingSettings(TrainSettings):
    """When to retrain, on what, and when to promote."""

    collections: tuple[str, ...] = Field(("default",), description="which are retrained on schedule")
    schedule: str = Field("0 3 * * *", description="cron, in UTC: minute hour day-of-month month day-of-week")
    every_s: float | None = Field(None, gt=0, description="instead of the cron schedule: this often")
    min_images: int = Field(200, ge=20, description="a smaller corpus is not retrained on")
    max_images: int = Field(100_000, gt=0, description="of a larger ledger a sample is taken")
    triggers: TriggerSettings = Field(default_factory=TriggerSettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    snapshot: SnapshotSettings = Field(default_factory=SnapshotSettings)
    lease_s: float = Field(
        60.0,
        gt=0,
        description="a run that gives no sign of life for this long is taken up by another trainer, once",
    )
    stall_limit_s: float = Field(
        7200.0,
        gt=0,
        description="a trainer whose run shows no progress for this long ends, with status 75",
    )
    checkpoint_every_s: float = Field(
        20.0, ge=0, description="between checkpoints of a fit, in the store or, with --out, beside the model"
    )
    max_image_bytes: int = Field(20 * 1024 * 1024, gt=0, description="larger uploads are left out")
    workdir: Path | None = Field(
        None, description="a disk of this host, for decoded pictures while training; default: the system's"
    )
    signing_key_file: Path | None = Field(
        None,
        description="Ed25519 private key (PEM) that new models are signed with; see `shoal models keygen`",
    )
    startup_timeout_s: float = Field(60.0, gt=0, description="to find broker, store and buckets")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="for /metrics by HTTP; unset: none, 0: any free one"
    )
    metrics_host: str = Field("127.0.0.1", description="where it answers; 0.0.0.0 in a container of its own")
    promotion: PromotionPolicy = Field(default_factory=PromotionPolicy)
    backfill: BackfillSettings = Field(default_factory=BackfillSettings)


class Settings(ProcessSettings):
    """Everything a trainer process is told."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)
