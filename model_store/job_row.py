"""One row of a job's part: a picture's result, flat; nothing is lost on the way there and back."""

from typing import Any, Final

import pyarrow as pa

from producer.contracts import ImageRef, Result

ERASED: Final = "erased"
STATUSES: Final = ("assigned", "unknown", "rejected", "failed", ERASED)
SCHEMA: Final = pa.schema(
    [
        ("picture", pa.uint64()),
        ("image_id", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("cluster_id", pa.string()),
        ("cluster_name", pa.string()),
        ("cluster_index", pa.int64()),
        ("cluster_assigned_id", pa.string()),
        ("distance", pa.float64()),
        ("margin", pa.float64()),
        ("typicality", pa.float64()),
        ("alternative_ids", pa.list_(pa.string())),  # nearest first
        ("alternative_distances", pa.list_(pa.float64())),
        ("model_version", pa.string()),
        ("model_sha256", pa.string()),
        ("generation", pa.int64()),
        ("etag", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("format", pa.string()),
        ("queued_ms", pa.float64()),
        ("fetch_ms", pa.float64()),
        ("decode_ms", pa.float64()),
        ("predict_ms", pa.float64()),
        ("batch_size", pa.int64()),
        ("attempt", pa.int64()),
        ("error_code", pa.string()),
        ("error_detail", pa.string()),
        ("message_id", pa.string()),
        ("classified_at", pa.timestamp("us", tz="UTC")),
    ]
)
Row = dict[str, Any]  # by the names in SCHEMA


def row_of(picture: int, ref: ImageRef, result: Result, message_id: str) -> Row:
    """Flatten a result; `message_id` is that of the submission."""
    cluster, model, read, timing = result.cluster, result.model, result.input, result.timing_ms
    return {
        "picture": picture,
        "image_id": result.image_id,
        "bucket": ref.bucket,
        "key": ref.key,
        "status": result.status,
        "cluster_id": cluster.id if cluster else None,
        "cluster_name": cluster.name if cluster else None,
        "cluster_index": cluster.index if cluster else None,
        "cluster_assigned_id": cluster.assigned_id if cluster else None,
        "distance": result.distance,
        "margin": result.margin,
        "typicality": result.typicality,
        "alternative_ids": [other.id for other in result.alternatives],
        "alternative_distances": [other.distance for other in result.alternatives],
        "model_version": model.version if model else None,
        "model_sha256": model.sha256 if model else None,
        "generation": model.generation if model else None,
        "etag": read.etag if read else None,
        "sha256": read.sha256 if read else None,
        "width": read.width if read else None,
        "height": read.height if read else None,
        "format": read.format if read else None,
        "queued_ms": timing.queued if timing else None,
        "fetch_ms": timing.fetch if timing else None,
        "decode_ms": timing.decode if timing else None,
        "predict_ms": timing.predict if timing else None,
        "batch_size": result.batch_size,
        "attempt": result.attempt,
        "error_code": result.error.code if result.error else None,
        "error_detail": result.error.detail if result.error else None,
        "message_id": message_id,
        "classified_at": result.classified_at,
    }


def erased_row(picture: int, message_id: str) -> Row:
    """Give what is left of an erased picture's row."""
    gone = dict.fromkeys(SCHEMA.names)
    return gone | {"picture": picture, "status": ERASED, "message_id": message_id}


def result_of(row: Row, collection: str) -> Result | None:
    """Give a row as the result that it is; None if the picture was erased."""
    if row["status"] == ERASED:
        return None
    return Result.model_validate(
        {
            "image_id": row["image_id"],
            "collection": collection,
            "status": row["status"],
            "cluster": _some(
                id=row["cluster_id"],
                name=row["cluster_name"],
                index=row["cluster_index"],
                assigned_id=row["cluster_assigned_id"],
            ),
            **{name: row[name] for name in ("distance", "margin", "typicality", "batch_size", "attempt")},
            "alternatives": [
                {"id": other, "distance": distance}
                for other, distance in zip(
                    row["alternative_ids"] or (), row["alternative_distances"] or (), strict=True
                )
            ],
            "model": _some(
                version=row["model_version"], sha256=row["model_sha256"], generation=row["generation"]
            ),
            "input": _some(
                sha256=row["sha256"],
                **{name: row[name] for name in ("etag", "width", "height", "format")},
            ),
            "timing_ms": _some(
                queued=row["queued_ms"],
                fetch=row["fetch_ms"],
                decode=row["decode_ms"],
                predict=row["predict_ms"],
            ),
            "error": _some(code=row["error_code"], detail=row["error_detail"]),
            "message_id": row["message_id"],
            "classified_at": row["classified_at"],
        }
    )


def _some(**fields: Any) -> dict[str, Any] | None:  # noqa: ANN401 - values of a row
    return None if all(value is None for value in fields.values()) else fields
