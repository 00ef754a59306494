"""References into groups as large as a message may be."""

from collections.abc import Iterable, Iterator

from producer.contracts import MAX_IMAGES_PER_MESSAGE, MAX_MESSAGE_BYTES, ImageRef
from producer.outbox import ROOM_FOR_ENVELOPE


def gathered(refs: Iterable[ImageRef]) -> Iterator[tuple[ImageRef, ...]]:
    """Group references, in their order; none of the groups is empty."""
    batch: list[ImageRef] = []
    room = MAX_MESSAGE_BYTES - ROOM_FOR_ENVELOPE
    for ref in refs:
        size_bytes = len(ref.model_dump_json(ensure_ascii=True)) + 1
        if batch and (size_bytes > room or len(batch) == MAX_IMAGES_PER_MESSAGE):
            yield tuple(batch)
            batch, room = [], MAX_MESSAGE_BYTES - ROOM_FOR_ENVELOPE
        batch.append(ref)
        room -= size_bytes
    if batch:
        yield tuple(batch)
