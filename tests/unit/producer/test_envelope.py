import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.contracts import MAX_MESSAGE_BYTES
from producer.envelope import MAX_ENVELOPE_BYTES, Letter, Unreadable, envelope, read

TASK = "shoal.classify.v1"
FIELDS = {"images": [{"image_id": "a"}]}


def letter(**changes: Any) -> bytes:
    whole = json.loads(envelope(TASK, "id-1", FIELDS))
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            whole[part][field] = value
        else:
            whole[part] = value
    return json.dumps(whole).encode()


def test_what_is_written_is_read_back() -> None:
    assert read(envelope(TASK, "id-1", FIELDS, split="whole"), [TASK]) == Letter(
        task=TASK, task_id="id-1", args=[], fields=FIELDS, split="whole"
    )


@pytest.mark.parametrize("key", ["a/b.jpg", '"' * 900])
def test_a_body_is_plain_unless_base64_is_shorter(key: str) -> None:
    fields = {"images": [{"key": key}]}
    whole = json.loads(envelope(TASK, "id-1", fields))
    assert whole["properties"].get("body_encoding") == (None if key == "a/b.jpg" else "base64")
    found = read(envelope(TASK, "id-1", fields), [TASK])
    assert found.fields == fields


def test_a_letter_of_another_alphabet_is_written_no_longer_than_its_utf_8() -> None:
    fields = {"images": [{"key": "\u0436" * 20_000}]}

    assert len(envelope(TASK, "id-1", fields)) < 60_000
    found = read(envelope(TASK, "id-1", fields), [TASK])
    assert isinstance(found, Letter)
    assert found.fields == fields


def test_protocol_1_and_a_body_that_is_not_encoded_are_read() -> None:
    body = json.dumps({"task": TASK, "id": "id-1", "args": [], "kwargs": FIELDS})
    raw = json.dumps({"body": body, "content-type": "application/json", "headers": {}, "properties": {}})
    assert read(raw.encode(), [TASK]).fields == FIELDS


def test_moments_of_the_headers_are_read_as_utc() -> None:
    raw = letter(
        headers={
            "task": TASK,
            "id": "1",
            "expires": "2026-01-01T00:00:00",
            "eta": "2026-01-01T02:00:00+02:00",
        }
    )
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert (read(raw, [TASK]).expires_at, read(raw, [TASK]).not_before) == (moment, moment)


MALFORMED = {
    "empty": b"",
    "a letter": b"x",
    "no utf-8": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "deeply nested": b"[" * 100_000,
    "cut off": envelope(TASK, "1", FIELDS)[:-20],
    "too long": b'"' + b"x" * MAX_ENVELOPE_BYTES + b'"',
    "no body": letter(body=None),
    "a body that is a number": letter(body=7),
    "bad base64": letter(body="?", properties__body_encoding="base64"),
    "a body that is not JSON": letter(
        body=base64.b64encode(b"{").decode(), properties__body_encoding="base64"
    ),
    "a body of one": letter(body=base64.b64encode(b"[[]]").decode(), properties__body_encoding="base64"),
    "arguments that are a list": letter(
        body=base64.b64encode(b"[[], [], {}]").decode(), properties__body_encoding="base64"
    ),
    "a body over the limit": letter(body="x" * (MAX_MESSAGE_BYTES + 1), properties={}),
    "headers that are a list": letter(headers=[]),
    "properties that are text": letter(properties="x"),
    "another task": letter(headers__task="celery.backend_cleanup"),
    "no task": letter(headers={"id": "1"}),
    "a task that is a list": letter(headers__task=[]),
    "no id": letter(headers={"task": TASK}),
    "an id that is a number": letter(headers__id=5),
    "a pickle": letter(**{"content-type": "application/x-python-serialize"}),
    "an eta that is none": letter(headers__eta="soon"),
    "an object of kombu's": letter(
        body=json.dumps([[], {**FIELDS, "x": {"__type__": "z", "__value__": 1}}, {}]), properties={}
    ),
    "an expiry that is a number": letter(headers__expires=60),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="it"):
        read(raw, [TASK])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    refused_or_read(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        ["body", "headers", "properties", "content-type", "headers__task", "headers__id", "headers__eta"]
    ),
    json_values,
)
def test_any_value_in_any_place_is_read_or_refused(place: str, value: Any) -> None:
    refused_or_read(letter(**{place: value}))


def refused_or_read(raw: bytes) -> None:
    try:
        found = read(raw, [TASK])
    except Unreadable:
        return
    json.dumps(found.payload("tag", "interactive"))


def test_nothing_that_the_sender_asks_of_celery_is_passed_on() -> None:
    body = json.dumps([[], FIELDS, {"callbacks": [{"task": "evil"}], "chord": "x"}])
    raw = letter(
        body=body, properties={"reply_to": "evil"}, headers={"task": TASK, "id": "1", "timelimit": [1, 1]}
    )
    payload = read(raw, [TASK]).payload("tag", "interactive")
    assert "evil" not in json.dumps(payload)
    assert "timelimit" not in payload["headers"]
