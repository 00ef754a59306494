"""What lies in a lane, read with suspicion: anybody who reaches Redis may have put it there.

A Celery envelope (protocol 2, or 1) is JSON with `headers`, `properties` and a `body` that holds
`[args, kwargs, embed]`. Celery itself ends or drops the message on many that are malformed; here each
becomes either a clean envelope, or a reason to quarantine it.
"""

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from producer.contracts import MAX_MESSAGE_BYTES

# base64 takes a third more, quotes within quotes up to as much again; headers have the rest
MAX_ENVELOPE_BYTES: Final = 2 * MAX_MESSAGE_BYTES + 8 * 1024
SPLIT: Final = "shoal-split"  # header: what a message was part of, when that had to be taken apart
EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Unreadable(ValueError):
    """Not a message; says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it came, whoever sent it."""

    task: str
    task_id: str
    args: list[Any]
    fields: dict[str, Any]  # the task's keyword arguments: the contract's message
    expires_at: datetime | None = None
    not_before: datetime | None = None
    split: str | None = None

    def payload(self, delivery_tag: str, lane: str) -> dict[str, Any]:
        """Give it as kombu and Celery expect it, without anything else that the sender may have asked for."""
        headers = {
            "lang": "py",
            "task": self.task,
            "id": self.task_id,
            "root_id": self.task_id,
            "parent_id": None,
            "group": None,
            "argsrepr": "",
            "kwargsrepr": "",
        }
        body = json.dumps([self.args, self.fields, EMBED])
        return {
            "body": body,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {
                "delivery_tag": delivery_tag,
                "delivery_info": {"exchange": "", "routing_key": lane},
                "correlation_id": self.task_id,
            },
        }


def envelope(task: str, task_id: str, fields: Mapping[str, Any], *, split: str | None = None) -> bytes:
    """Write a message as it lies in a lane, as short as can be: no longer than it came.

    Raises:
        Unreadable: it is so long that no worker would read it.
    """
    body = to_json([[], fields, EMBED])  # a fifth of the time that json takes
    if len(body) > MAX_MESSAGE_BYTES:
        raise Unreadable(f"its body has {len(body)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    text = body.decode()
    encoded = base64.b64encode(body).decode()
    plain = len(to_json(text)) <= len(encoded)  # unless it is full of quotes
    headers = {"lang": "py", "task": task, "id": task_id, "root_id": task_id}
    if split is not None:
        headers[SPLIT] = split
    properties = {"correlation_id": task_id, "delivery_tag": task_id}
    if not plain:
        properties["body_encoding"] = "base64"
    return to_json(
        {
            "body": text if plain else encoded,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {**properties, "delivery_info": {"exchange": "", "routing_key": ""}},
        }
    )


def read(raw: bytes, tasks: Collection[str]) -> Letter:
    """Read what lay in a lane.

    Args:
        raw: any bytes at all.
        tasks: names of the tasks that this process can do.

    Raises:
        Unreadable: it is not an envelope, too long, or for another task.
    """
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise Unreadable(f"it has {len(raw)} bytes, the limit is {MAX_ENVELOPE_BYTES}")
    whole = _json(raw, "it")
    if not isinstance(whole, dict):
        raise Unreadable(f"it is not a JSON object but a {type(whole).__name__}")
    headers, properties = _dict(whole, "headers"), _dict(whole, "properties")
    body = _json(_body(whole, properties), "its body")
    if isinstance(body, dict):  # protocol 1: everything is in the body
        headers, body = {**headers, **body}, [body.get("args") or [], body.get("kwargs") or {}, {}]
    if not (isinstance(body, list) and len(body) >= 2 and isinstance(body[0], list)):
        raise Unreadable("its body is not [args, kwargs, embed]")
    if not isinstance(body[1], dict):
        raise Unreadable("its keyword arguments are not an object")
    task, task_id = headers.get("task"), headers.get("id")
    if task not in tasks:
        raise Unreadable(f"it is for the task {str(task)[:200]!r}, which is not done here")
    if not (isinstance(task_id, str) and 0 < len(task_id) <= 256):
        raise Unreadable("its header `id` is not a string of 1 to 256 characters")
    split = headers.get(SPLIT)
    return Letter(
        task=str(task),
        task_id=task_id,
        args=body[0],
        fields=body[1],
        expires_at=_moment(headers, "expires"),
        not_before=_moment(headers, "eta"),
        split=split if isinstance(split, str) else None,
    )


def _dict(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = whole.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"its {name} are not an object")
    return value


def _body(whole: Mapping[str, Any], properties: Mapping[str, Any]) -> bytes:
    kind = str(whole.get("content-type") or "application/json")
    if kind != "application/json":
        raise Unreadable(f"its content type is {kind[:100]!r}; only application/json is read")
    body = whole.get("body")
    if not isinstance(body, str):
        raise Unreadable("it has no body")
    if properties.get("body_encoding") == "base64":
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unreadable(f"its body is not base64: {error}") from error
    else:
        data = body.encode("utf-8", "surrogatepass")
    if len(data) > MAX_MESSAGE_BYTES:
        raise Unreadable(f"its body has {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    return data


def _json(data: bytes, what: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(data.decode(), object_hook=_plain)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{what} is not JSON: {type(error).__name__}: {error}") from error


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what kombu would turn into an object of its own, or fail on: Celery drops a message for it."""
    if value.keys() == {"__type__", "__value__"}:
        raise Unreadable("it asks for an object that is not plain JSON")
    return value


def _moment(headers: Mapping[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"its header `{name}` is not a moment: {str(value)[:100]!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
