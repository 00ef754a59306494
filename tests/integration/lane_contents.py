import json
from collections.abc import Iterator
from typing import Any

import redis

from producer import ClassifyImages, ImageRef

SOON_S = 10.0


def ref(number: int) -> ImageRef:
    return ImageRef(image_id=f"img_{number}", bucket="uploads", key=f"a/{number}.jpg")


def refs(count: int) -> Iterator[ImageRef]:
    return (ref(number) for number in range(count))


def envelopes(wire: "redis.Redis", queue: str) -> list[dict[str, Any]]:
    """What waits in a queue, oldest first, as kombu wrote it."""
    return [json.loads(str(text)) for text in reversed(wire.lrange(queue, 0, -1))]


def bodies(wire: "redis.Redis", queue: str) -> list[bytes]:
    return [envelope["body"].encode() for envelope in envelopes(wire, queue)]


def messages(wire: "redis.Redis", queue: str) -> list[ClassifyImages]:
    return [ClassifyImages.model_validate(json.loads(body)[1]) for body in bodies(wire, queue)]
