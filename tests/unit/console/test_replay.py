from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.replay import replay
from model_store.dead_letters import DeadLetters
from model_store.object_store import MemoryStore
from producer.contracts import ClassifyImages
from producer.errors import BrokerUnavailable, InvalidReference, ObjectNotFound
from producer.ulid import new_ulid

IMAGES = [{"image_id": "a", "bucket": "uploads", "key": "a.png"}]


class Lane:
    """Takes messages, or fails as told; `before_ack` happens while it takes one."""

    def __init__(self) -> None:
        self.sent: list[ClassifyImages] = []
        self.error: Exception | None = None
        self.before_ack: Callable[[], object] = str

    def send(self, message: ClassifyImages) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(message)
        self.before_ack()


@pytest.fixture
def letters() -> DeadLetters:
    return DeadLetters(MemoryStore(), "default")


@pytest.fixture
def lane() -> Lane:
    return Lane()


def died(letters: DeadLetters, message: dict[str, Any] | None, raw: bytes | None = None) -> str:
    message_id = new_ulid()
    letters.keep(message_id, message, "it failed", queue="bulk", raw=raw)
    return message_id


def test_a_replayed_message_keeps_its_id_is_submitted_now_and_never_expired(
    letters: DeadLetters, lane: Lane
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=9)
    old = ClassifyImages(images=IMAGES, lane="bulk", submitted_at=long_ago, expires_at=long_ago)
    letters.keep(old.message_id, old.model_dump(mode="json"), "it failed")
    replay(letters, old.message_id, lane.send)
    (message,) = lane.sent
    times = {"submitted_at", "expires_at"}
    assert message.model_dump(exclude=times) == old.model_dump(exclude=times)
    assert message.expires_at is None
    assert datetime.now(UTC) - message.submitted_at < timedelta(minutes=5)
    assert list(letters.list()) == []


@pytest.mark.parametrize(
    "message", [{"images": IMAGES}, {"task_id": "t", "args": [], "kwargs": {"images": IMAGES}}]
)
def test_a_message_without_an_id_goes_back_under_its_letters(
    letters: DeadLetters, lane: Lane, message: dict[str, Any]
) -> None:
    message_id = died(letters, message)
    replay(letters, message_id, lane.send)
    assert [sent.message_id for sent in lane.sent] == [message_id]


def test_a_letter_stays_when_its_message_is_not_acknowledged(letters: DeadLetters, lane: Lane) -> None:
    message_id = died(letters, {"images": IMAGES})
    lane.error = BrokerUnavailable("away")
    with pytest.raises(BrokerUnavailable):
        replay(letters, message_id, lane.send)
    assert letters.get(message_id).error == "it failed"


def test_a_message_that_dies_again_at_once_leaves_its_new_letter(letters: DeadLetters, lane: Lane) -> None:
    message_id = died(letters, {"images": IMAGES})
    lane.before_ack = lambda: letters.keep(message_id, {"images": IMAGES}, "it failed again")
    replay(letters, message_id, lane.send)
    assert letters.get(message_id).error == "it failed again"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"images": []}, "images"),
        ({"images": IMAGES, "schema_version": 2}, "schema_version"),
        ({"task_id": "t", "args": [1], "kwargs": {}}, "images: Field required"),
        ({"images": [{**IMAGES[0], "etag": "\n"}]}, "images.0.etag"),
    ],
)
def test_a_message_that_breaks_the_contract_stays_and_is_said_why(
    letters: DeadLetters, lane: Lane, message: dict[str, Any], said: str
) -> None:
    message_id = died(letters, message)
    with pytest.raises(InvalidReference, match=said):
        replay(letters, message_id, lane.send)
    assert lane.sent == []
    assert letters.get(message_id)


def test_what_was_refused_for_its_signature_is_sent_and_so_signed_only_when_vouched_for(
    letters: DeadLetters, lane: Lane
) -> None:
    message_id = new_ulid()
    letters.keep(message_id, {"images": IMAGES}, "is refused: it is not signed", queue="bulk")
    with pytest.raises(InvalidReference, match="--sign"):
        replay(letters, message_id, lane.send)
    assert lane.sent == []
    replay(letters, message_id, lane.send, vouch=True)
    assert len(lane.sent) == 1


def test_bytes_that_cannot_be_read_go_back_only_when_asked(letters: DeadLetters, lane: Lane) -> None:
    message_id = died(letters, None, raw=b"\xff")
    with pytest.raises(InvalidReference, match="1 bytes could not be read as a message: it failed"):
        replay(letters, message_id, lane.send)
    pushed: list[tuple[str | None, bytes]] = []
    replay(letters, message_id, lane.send, lambda queue, raw: pushed.append((queue, raw)))
    assert pushed == [("bulk", b"\xff")]
    assert list(letters.ids()) == []


def test_there_is_nothing_to_replay_under_a_mistyped_id(letters: DeadLetters, lane: Lane) -> None:
    with pytest.raises(ObjectNotFound, match="no dead letter nope"):
        replay(letters, "nope", lane.send)
