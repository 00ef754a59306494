"""Jobs as submitters and workers leave them, without either."""

from typing import Any

from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.job_record import JobRecord
from model_store.jobs import Jobs
from model_store.object_store import ObjectStore
from producer.contracts import (
    Alternative,
    Cluster,
    Failure,
    ImageRef,
    Input,
    ModelStamp,
    Result,
    TimingMs,
)

PREDICTED = {
    "status": "assigned",
    "cluster": Cluster(id="c_a", name="cats", index=3, assigned_id="c_b"),
    "distance": 0.1 + 0.2,
    "margin": 1e-9,
    "typicality": 0.62,
    "alternatives": (Alternative(id="c_c", distance=1.5), Alternative(id="c_d", distance=2.5)),
    "model": ModelStamp(version="v1", sha256="0" * 64, generation=7),
    "input": Input(etag="e", sha256="s", width=640, height=480, format="JPEG"),
    "timing_ms": TimingMs(queued=1.25, fetch=2.5, decode=0.1, predict=3.0),
    "batch_size": 128,
    "attempt": 2,
}
REFUSED: dict[str, Any] = {
    "status": "rejected",
    "model": PREDICTED["model"],
    "error": Failure(code="decode.corrupt", detail="This is a damaged PNG file."),
}


def ref(image_id: str) -> ImageRef:
    return ImageRef(image_id=image_id, bucket="uploads", key=f"a/{image_id}.png")


def result(image_id: str, message_id: str, **fields: Any) -> Result:
    given = {"image_id": image_id, "collection": "cats", "message_id": message_id, **PREDICTED, **fields}
    return Result.model_validate(given)


def generation(number: int) -> ModelStamp:
    return ModelStamp(version=f"v{number}", sha256="0", generation=number)


class MadeJob:
    """A job of two pictures per message."""

    def __init__(self, store: ObjectStore, job_id: str = "job-1", messages: int = 2) -> None:
        self.store, self.jobs, self.parts = store, Jobs(store, "cats"), JobParts(store, "cats")
        self.record = JobRecord(
            job_id=job_id, collection="cats", state="closed", messages=messages, pictures=2 * messages
        )

    def submitted(self) -> None:
        self.jobs.save(self.record, None)

    def images(self, number: int) -> list[str]:
        return [f"img_{number}_{i}" for i in range(2)]

    def answered(
        self, number: int, image_ids: list[str] | None = None, erased: list[str] | None = None, **fields: Any
    ) -> None:
        """Write the part of one message, or only some pictures of it."""
        message_id = self.record.message_id(number)
        ids = self.images(number) if image_ids is None else image_ids
        answers = [result(image_id, message_id, **fields) for image_id in ids]
        part = part_of(message_id, 2, [ref(i) for i in ids], answers, erased or [])
        self.parts.save(self.record.job_id, message_id, part)
