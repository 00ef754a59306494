"""What is decoded at all: the limits, and the verdict on a file's header."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from model_store.containers import Container, Format
from model_store.jpeg import count_scans
from producer.contracts import ErrorCode


class DecodeLimits(BaseModel):
    """What is decoded at all; checked before any pixel is allocated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[Format, ...] = Field(
        ("JPEG", "PNG", "WEBP", "GIF"),
        min_length=1,
        description="accepted, by content; BMP, TIFF and AVIF may be added, their decoders are less proven",
    )
    max_pixels: int = Field(
        25_000_000, gt=0, description="width times height; 25 M take 100 to 400 MB while decoding, WebP most"
    )
    max_side: int = Field(20_000, gt=0, description="longer side, in pixels")
    max_aspect: float = Field(100.0, ge=1, description="longer side over shorter side")
    max_scans: int = Field(64, gt=0, description="scans of a JPEG; usual are 1 to 12, a bomb has thousands")
    max_segments: int = Field(
        20_000, gt=0, description="JPEG segments, PNG chunks or GIF blocks; 20 MiB of PNG usually have 2,560"
    )
    min_bytes_per_pixel: float = Field(
        1 / 512,
        ge=0,
        description="a JPEG with fewer lies about its size: every block of 8 x 8 takes a bit at least",
    )


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Why there is no picture; `detail` is one sentence that may be shown to whoever uploaded it."""

    code: ErrorCode
    detail: str


def refuse_header(container: Container, kind: Format, limits: DecodeLimits) -> Undecodable | None:
    """Judge a file before anything is decoded; None if it may be."""
    if container.size is None:
        return None
    fault = refuse_size(container.size, limits)
    if fault is not None or kind != "JPEG":
        return fault
    width, height = container.size
    if len(container.data) < limits.min_bytes_per_pixel * width * height:
        detail = (
            f"its header promises {width} x {height} pixels, more than {len(container.data)} bytes can hold"
        )
        return Undecodable("decode.corrupt", f"This is a damaged JPEG file: {detail}.")
    if count_scans(container.data, limits.max_scans) > limits.max_scans:
        return Undecodable("decode.too_many_scans", f"This JPEG file has over {limits.max_scans} scans.")
    return None


def refuse_size(size: tuple[int, int], limits: DecodeLimits) -> Undecodable | None:
    """Judge a size (width, height) in pixels; None if it is accepted."""
    width, height = size
    shown = f"The picture has {width} x {height} pixels"
    if min(size) < 1:
        return Undecodable("decode.bad_dimensions", f"{shown}.")
    if width * height > limits.max_pixels:
        return Undecodable("decode.too_many_pixels", f"{shown}; at most {limits.max_pixels:,} are accepted.")
    if max(size) > limits.max_side:
        return Undecodable(
            "decode.bad_dimensions", f"{shown}; the longest side accepted is {limits.max_side:,}."
        )
    if max(size) > limits.max_aspect * min(size):
        detail = f"{shown}; one side may be at most {limits.max_aspect:g} times the other."
        return Undecodable("decode.bad_dimensions", detail)
    return None
