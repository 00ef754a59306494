"""How far random views of a picture may differ, as settings say it; `augment.py` draws them."""

from pydantic import BaseModel, ConfigDict, Field


class Augmentation(BaseModel):
    """How strongly two views of one picture may differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_crop: float = Field(0.4, gt=0, le=1, description="smallest share of the area that a view keeps")
    aspect: float = Field(0.2, ge=0, le=1, description="largest change of aspect ratio, in natural logarithm")
    rotation_deg: float = Field(10.0, ge=0, le=180, description="largest rotation either way, in degrees")
    warp: float = Field(0.05, ge=0, le=0.5, description="smooth displacement, deviation in half sides")
    horizontal_flip: bool = Field(
        False, description="mirror half of the views; right for photographs, wrong for writing"
    )
    brightness: float = Field(0.35, ge=0, lt=1, description="largest relative change of brightness")
    contrast: float = Field(0.35, ge=0, lt=1, description="largest relative change of contrast")
    saturation: float = Field(0.5, ge=0, le=1, description="largest relative change of saturation")
    grey: float = Field(0.15, ge=0, le=1, description="share of views without colour")
    channel_mix: float = Field(0.15, ge=0, le=0.5, description="deviation of the mix of colour channels")
    blur: float = Field(0.5, ge=0, le=1, description="share of views that are blurred")
