"""S3 event notifications, as AWS, SeaweedFS and others send them, into references.

Source: "Event message structure", Amazon S3 user guide; keys are URL-encoded with `+` for a space.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from pydantic import ValidationError

from producer.contracts import ImageRef
from producer.errors import InvalidReference


def image_id_for(bucket: str, key: str) -> str:
    """Name a picture after where it lies: the same upload always gets the same id."""
    return "img_" + hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()[:32]


def refs_from_s3_event(event: Mapping[str, Any]) -> list[ImageRef]:
    """Read the created objects out of a notification; other events are passed over.

    Raises:
        InvalidReference: it has no `Records`, or a record lacks bucket or key.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise InvalidReference("an S3 event notification has a list named Records")
    return [_ref(record) for record in records if _tells_of_an_upload(record)]


def _tells_of_an_upload(record: object) -> bool:
    if not isinstance(record, Mapping):
        raise InvalidReference(f"an S3 event record is an object, not a {type(record).__name__}")
    return "ObjectCreated" in str(record.get("eventName", ""))


def _ref(record: Mapping[str, Any]) -> ImageRef:
    try:
        bucket, item = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = unquote_plus(item["key"])
        return ImageRef(
            image_id=image_id_for(bucket, key),
            bucket=bucket,
            key=key,
            version_id=item.get("versionId"),
            etag=item.get("eTag"),
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InvalidReference(f"an S3 event record without a usable bucket and key: {error}") from error
