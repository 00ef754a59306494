"""A message that workers died of, as two that are done each by itself."""

from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages
from producer.envelope import envelope
from producer.signing import Keyring
from producer.ulid import new_ulid


def halves(message: ClassifyImages, whole: str, keyring: Keyring) -> list[bytes]:
    """Write the first and the second half of a message's pictures as messages for a lane.

    Args:
        message: two pictures or more.
        whole: id of the message that was first taken apart.
        keyring: signs them as their sender would.
    """
    middle = len(message.images) // 2
    made = [
        message.model_copy(update={"message_id": new_ulid(), "images": images, "part_of": message.whole})
        for images in (message.images[:middle], message.images[middle:])
    ]
    return [_envelope(half, whole, keyring) for half in made]


def _envelope(half: ClassifyImages, whole: str, keyring: Keyring) -> bytes:
    fields = keyring.sign(CLASSIFY, half.model_dump(mode="json", exclude_none=True))
    return envelope(CLASSIFY, half.message_id, fields, split=whole)
