"""Dead letters go back to where they came from, once what killed them is gone."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from model_store.dead_letters import DeadLetter, DeadLetters
from producer.broker import broker_errors, classify_queues, redis_client
from producer.contracts import ClassifyImages
from producer.errors import InvalidReference, PreconditionFailed
from producer.settings import BrokerSettings

REFUSED: Final = "is refused: "  # how worker.deliveries begins what it says of a signature


def replay(
    letters: DeadLetters,
    message_id: str,
    send: Callable[[ClassifyImages], None],
    push_raw: Callable[[str | None, bytes], None] | None = None,
    *,
    vouch: bool = False,
) -> None:
    """Queue a dead letter's message again, under its old id, then remove the letter.

    The letter goes only once its message is acknowledged; if it dies again meanwhile, the new letter stays.

    Args:
        letters: of its collection.
        message_id: whose.
        send: puts a message on its lane.
        push_raw: puts bytes that cannot be read on a queue; None: they are not replayed.
        vouch: also send, and so sign, what was refused for its signature.

    Raises:
        ObjectNotFound: there is no such letter.
        InvalidReference: it would only die again; says why.
        BrokerUnavailable, QueueFull: it is not queued, and stays.
    """
    letter, etag = letters.get_with_etag(message_id)
    if letter.error.startswith(REFUSED) and not vouch:
        raise InvalidReference(
            f"{letter.error}. Look at it with `shoal dead show {letter.id}`; --sign vouches for it"
        )
    if letter.message is not None:
        send(message_of(letter))
    elif letter.raw_size is None:
        raise InvalidReference(f"it holds no message: {letter.error}")
    elif push_raw is None:
        raise InvalidReference(
            f"its {letter.raw_size} bytes could not be read as a message: {letter.error}. Look at them with "
            f"`shoal dead show {letter.id} --raw`; --raw puts them back as they are"
        )
    else:
        push_raw(letter.queue, letters.raw(letter.id))
    with contextlib.suppress(PreconditionFailed):  # it died again already, and that letter stays
        letters.drop(message_id, if_match=etag)


def message_of(letter: DeadLetter) -> ClassifyImages:
    """Give a letter's message: under the old id, submitted now, never expired.

    Raises:
        InvalidReference: it breaks the contract; says where.
    """
    fields: Mapping[str, Any] = letter.message or {}
    if "images" not in fields and isinstance(fields.get("kwargs"), dict):  # with Celery's own around it
        fields = fields["kwargs"]
    try:
        message = ClassifyImages.model_validate({"message_id": letter.id, **fields})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidReference(f"its message breaks the contract, and would die again: {faults}") from error
    return message.model_copy(update={"submitted_at": datetime.now(UTC), "expires_at": None})


def raw_pusher(settings: BrokerSettings) -> Callable[[str | None, bytes], None]:
    """Give what puts bytes on a queue as a foreign client would."""
    known = [queue.name for queue in classify_queues(settings)]

    def push(queue: str | None, raw: bytes) -> None:
        if queue not in known:
            raise InvalidReference(f"it came from the queue {queue}, and workers serve {', '.join(known)}")
        with contextlib.closing(redis_client(settings)) as client, broker_errors(settings):
            client.lpush(queue, raw)

    return push
