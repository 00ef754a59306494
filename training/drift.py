"""Whether the pictures of now are still of the kind that a model was trained on: pure figures.

```
residual      mean squared length of what the PCA leaves of the embeddings     new kinds of picture
unknown       share of pictures far from every cluster                         new kinds of picture
stability     PSI of the cluster shares                                        other proportions
shift         squared distance of the mean projection, in variances            both, also within clusters
```

Each figure has a limit that is both an effect worth acting on and far outside what chance gives in a window
of this size (about 4 standard deviations), so small windows and many clusters raise no false alarm.
The alarm rises when a figure reaches its limit and falls when all are under `calm` of the way to theirs.
Sources of what chance gives: Yurdakul (2018), "Statistical Properties of Population Stability Index"; for the
shift Hotelling (1931), with a diagonal covariance, since PCA leaves none between components.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

DEVIATIONS: Final = 4.0
BY_CHANCE: Final = 3e-5  # beyond 4 standard deviations, on one side
MIN_SAMPLE: Final = 50  # of projections, before their variances mean something
FLAT: Final = 1e-6

Name = Literal["residual", "unknown", "stability", "shift"]


class DriftSettings(BaseModel):
    """When the pictures of now are said to be others than those that a model knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_images: int = Field(1000, ge=50, description="the latest so many pictures are looked at")
    residual_ratio: float = Field(1.25, gt=1, description="alarm when the reconstruction error has grown so")
    unknown_rise: float = Field(0.1, gt=0, lt=1, description="alarm when so much more is unknown")
    stability: float = Field(
        0.2, gt=0, description="alarm at this population stability index of the clusters"
    )
    shift: float = Field(
        0.25, gt=0, description="alarm when the mean projection has moved so far, squared, in variances"
    )
    calm: float = Field(
        0.5, gt=0, lt=1, description="the alarm ends under this share of the way to each limit"
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """What is usual: shares (K,) among n_images pictures, projections (S, P) of a sample of them.

    Residuals (R,), unknown (R,) are of unseen ones.
    """

    shares: NDArray[np.float64]
    n_images: int
    projections: NDArray[np.float32]
    residuals: NDArray[np.float32]
    unknown: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """The latest pictures: projections (W, P), clusters (W,), unknown (W,), residuals (W,) or NaN."""

    projections: NDArray[np.float32]
    clusters: NDArray[np.int64]
    unknown: NDArray[np.bool_]
    residuals: NDArray[np.float32]


class Figure(BaseModel):
    """One measure of drift."""

    name: Name
    value: float
    usual: float
    limit: float

    @property
    def level(self) -> float:
        """How far it is on the way from usual to the limit; 1 is the limit."""
        return (self.value - self.usual) / (self.limit - self.usual)


class Reading(BaseModel):
    """What one window said of one model."""

    version: str
    n_images: int
    figures: tuple[Figure, ...]

    @property
    def reason(self) -> str:
        """Say in words which figures have reached their limits."""
        over = [f for f in self.figures if f.level >= 1]
        return "; ".join(f"{f.name} {f.value:.3g}, usual {f.usual:.3g}, limit {f.limit:.3g}" for f in over)


class Alarm(BaseModel):
    """`drift.json`: the latest reading, and since when the pictures are others."""

    reading: Reading
    read_at: datetime
    since: datetime | None = None
    reason: str = ""


def read(version: str, reference: Reference, window: Window, settings: DriftSettings) -> Reading:
    """Compare a window of at least one picture with what is usual."""
    figures = [_stability(reference, window, settings.stability)]
    if len(reference.projections) >= MIN_SAMPLE:
        figures.append(_shift(reference.projections, window.projections, settings.shift))
    if len(reference.residuals):
        figures.append(_unknown(reference, window, settings.unknown_rise))
        known = window.residuals[np.isfinite(window.residuals)]
        if len(known):
            figures.append(_residual(reference.residuals, known, settings.residual_ratio))
    return Reading(version=version, n_images=len(window.clusters), figures=tuple(figures))


def step(before: Alarm | None, reading: Reading, at: datetime, settings: DriftSettings) -> Alarm:
    """Let the alarm rise, stand or fall; a new champion starts without one."""
    since, reason = None, ""
    if before is not None and before.reading.version == reading.version:
        since, reason = before.since, before.reason
    levels = [figure.level for figure in reading.figures]
    if max(levels) >= 1 and since is None:
        since, reason = at, reading.reason
    if max(levels) < settings.calm:
        since, reason = None, ""
    return Alarm(reading=reading, read_at=at, since=since, reason=reason)


def _chi2_by_chance(degrees: int) -> float:
    """Give the value that chi-squared exceeds with probability BY_CHANCE."""
    from scipy.stats import chi2  # noqa: PLC0415 - takes a second; all who read settings import this module

    return float(chi2.isf(BY_CHANCE, max(1, degrees)))


def _stability(reference: Reference, window: Window, limit: float) -> Figure:
    k, n, m = len(reference.shares), len(window.clusters), reference.n_images
    counts = np.bincount(window.clusters, minlength=k)
    now = (counts + 0.5) / (n + 0.5 * k)
    then = (reference.shares * m + 0.5) / (m + 0.5 * k)
    psi = float(((now - then) * np.log(now / then)).sum())
    noise = _chi2_by_chance(k - 1) * (1 / n + 1 / m)
    return Figure(name="stability", value=psi, usual=0.0, limit=max(limit, noise))


def _shift(usual: NDArray[np.float32], now: NDArray[np.float32], limit: float) -> Figure:
    variances = usual.var(axis=0)
    some = variances > variances.max() * FLAT  # a component without any tells nothing
    moved = (now.mean(axis=0) - usual.mean(axis=0))[some] ** 2 / variances[some]
    by_chance = _chi2_by_chance(int(some.sum())) * (1 / len(now) + 1 / len(usual))
    return Figure(name="shift", value=float(moved.sum()), usual=0.0, limit=max(limit, by_chance))


def _unknown(reference: Reference, window: Window, rise: float) -> Figure:
    usual, n, m = float(reference.unknown.mean()), len(window.unknown), len(reference.unknown)
    share = max(usual, 1 / m)  # among m pictures none was unknown: it may still be one in m
    noise = DEVIATIONS * float(np.sqrt(share * (1 - share) * (1 / n + 1 / m)))
    return Figure(
        name="unknown", value=float(window.unknown.mean()), usual=usual, limit=usual + max(rise, noise)
    )


def _residual(usual: NDArray[np.float32], now: NDArray[np.float32], ratio: float) -> Figure:
    mean = float(usual.mean())
    noise = DEVIATIONS * float(np.sqrt(usual.var() / len(usual) + now.var() / len(now)))
    least = 1e-6  # a PCA of full rank leaves nothing
    return Figure(
        name="residual", value=float(now.mean()), usual=mean, limit=max(mean * ratio, mean + noise, least)
    )
