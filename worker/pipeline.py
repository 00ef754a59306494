"""What the worker decides, without a clock, a queue or a store: outcomes in, results out.

Every reference of a message gets exactly one result: `assigned` or `unknown` if it was predicted,
`rejected` if the picture is at fault, `failed` if we are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.admission import Undecodable
from model_store.bundle_files import ClusterEntry
from model_store.decode import Picture
from model_store.images import Unfetchable
from model_store.predictor import Prediction
from producer.contracts import (
    Alternative,
    ClassifyImages,
    Cluster,
    ErrorCode,
    Failure,
    ImageRef,
    Input,
    ModelStamp,
    Result,
    TimingMs,
)


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture that was read and decoded."""

    picture: Picture
    etag: str
    sha256: str
    fetch_ms: float
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that we could not do, after all attempts."""

    code: ErrorCode
    detail: str


Outcome = Ready | Unfetchable | Undecodable | Failed


@dataclass(frozen=True, slots=True)
class Pass:
    """What the message's pictures have in common: the model and its pass over the `Ready` ones, in order."""

    stamp: ModelStamp | None
    attempt: int
    clusters: Sequence[ClusterEntry] = ()
    prediction: Prediction | None = None  # of the pictures that were ready, if any was
    batch_size: int = 0
    queued_ms: float = 0.0
    predict_ms: float = 0.0


def results(message: ClassifyImages, outcomes: Sequence[Outcome], done: Pass) -> list[Result]:
    """Give each reference of the message its result, in the message's order."""
    answers: list[Result] = []
    row = 0
    for ref, outcome in zip(message.images, outcomes, strict=True):
        if isinstance(outcome, Ready):
            answers.append(_predicted(message, ref, outcome, row, done))
            row += 1
        else:
            answers.append(_refused(message, ref, outcome, done))
    return answers


def projections(outcomes: Sequence[Outcome], done: Pass) -> list[NDArray[np.float32] | None]:
    """Give each reference its projection (P,), or None if it has none."""
    rows = iter(done.prediction.projections if done.prediction is not None else ())
    return [next(rows) if isinstance(outcome, Ready) else None for outcome in outcomes]


def residuals(outcomes: Sequence[Outcome], done: Pass) -> list[float | None]:
    """Give each reference what the PCA leaves of its embedding, or None if it has none."""
    rows = iter(done.prediction.residuals if done.prediction is not None else ())
    return [float(next(rows)) if isinstance(outcome, Ready) else None for outcome in outcomes]


def _predicted(message: ClassifyImages, ref: ImageRef, ready: Ready, row: int, done: Pass) -> Result:
    prediction = done.prediction
    if prediction is None:
        raise ValueError("pictures were ready and nothing was predicted")
    near = [done.clusters[index] for index in prediction.nearest[row]]
    far = [float(distance) for distance in prediction.distances[row]]
    return Result(
        image_id=ref.image_id,
        collection=message.collection,
        message_id=message.message_id,
        status="unknown" if prediction.unknown[row] else "assigned",
        cluster=Cluster(id=near[0].id, index=near[0].index),
        distance=far[0],
        margin=far[1] - far[0] if len(far) > 1 else None,
        typicality=float(prediction.typicality[row]),
        alternatives=tuple(
            Alternative(id=entry.id, distance=distance)
            for entry, distance in zip(near[1:], far[1:], strict=True)
        ),
        model=done.stamp,
        input=Input(
            etag=ready.etag,
            sha256=ready.sha256,
            width=ready.picture.width,
            height=ready.picture.height,
            format=ready.picture.format,
        ),
        timing_ms=TimingMs(
            queued=round(done.queued_ms, 3),
            fetch=round(ready.fetch_ms, 3),
            decode=round(ready.decode_ms, 3),
            predict=round(done.predict_ms, 3),
        ),
        batch_size=done.batch_size,
        attempt=done.attempt,
    )


def _refused(
    message: ClassifyImages, ref: ImageRef, outcome: Unfetchable | Undecodable | Failed, done: Pass
) -> Result:
    return Result(
        image_id=ref.image_id,
        collection=message.collection,
        message_id=message.message_id,
        status="failed" if isinstance(outcome, Failed) else "rejected",
        model=done.stamp,
        attempt=done.attempt,
        error=Failure(code=outcome.code, detail=outcome.detail),
    )
