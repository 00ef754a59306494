import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from producer.contracts import ClassifyImages
from producer.settings import BrokerSettings
from producer.signing import Keyring, canonical
from producer.ulid import new_ulid
from tests.unit.producer.post import ref

TASK = "shoal.classify.v1"
NEW, OLD = SecretStr("new:" + "n" * 32), SecretStr("old:" + "o" * 32)
DOC = (Path(__file__).parents[3] / "docs" / "messages.md").read_text()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3))


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """What a client may send: the contract's fields, and some that we do not know."""
    known = ClassifyImages(images=tuple(ref(n, draw(texts) + "k") for n in range(draw(st.integers(1, 4)))))
    strange = draw(st.dictionaries(texts, values, max_size=3))
    return {**strange, **known.model_dump(mode="json", exclude_none=draw(st.booleans()))} | {
        "signature": None
    }


def paths(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a message, but its signature."""
    if isinstance(value, dict):
        inner = [path for name in value if name != "signature" for path in paths(value[name], (*here, name))]
    elif isinstance(value, list):
        inner = [path for position, item in enumerate(value) for path in paths(item, (*here, position))]
    else:
        inner = []
    return inner + ([here] if here else [])


def refused(fields: dict[str, Any], *keys: SecretStr, task: str = TASK) -> str:
    reason = Keyring(keys or (NEW,)).refusal(task, fields)
    assert reason is not None
    return reason


@given(message=messages(), ascii_=st.booleans())
def test_what_is_signed_is_accepted_however_its_json_is_written(
    message: dict[str, Any], *, ascii_: bool
) -> None:
    signed = Keyring([NEW]).sign(TASK, message)
    shuffled = dict(sorted(signed.items(), reverse=True))
    received = json.loads(json.dumps(shuffled, ensure_ascii=ascii_, indent=2))
    assert Keyring([NEW]).refusal(TASK, received) is None


@given(messages(), st.data())
def test_any_change_of_any_field_is_refused(message: dict[str, Any], data: st.DataObject) -> None:
    signed = Keyring([NEW]).sign(TASK, message)
    *way, last = data.draw(st.sampled_from(paths(signed)))
    altered = copy.deepcopy(signed)
    place: Any = altered
    for step in way:
        place = place[step]
    if data.draw(st.booleans()):
        del place[last]
    else:
        before = place[last]
        # 1 and True are equal in Python and differ in JSON
        place[last] = data.draw(values.filter(lambda new: canonical(new) != canonical(before)))
    assert "is wrong" in refused(altered)


@given(messages(), texts, values)
def test_an_added_field_is_refused(message: dict[str, Any], name: str, value: Any) -> None:
    signed = Keyring([NEW]).sign(TASK, message)
    if name not in signed:
        assert "is wrong" in refused({**signed, name: value})


@given(messages(), st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_another_digest_is_refused(message: dict[str, Any], position: int, digit: str) -> None:
    signed = Keyring([NEW]).sign(TASK, message)
    start, digest = signed["signature"][:-64], signed["signature"][-64:]
    other = digest[:position] + digit + digest[position + 1 :]
    reason = Keyring([NEW]).refusal(TASK, {**signed, "signature": start + other})
    assert (reason is None) == (other == digest)


def test_the_first_key_signs_and_all_verify() -> None:
    before, during, after = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    message = {"message_id": new_ulid()}

    assert during.sign(TASK, message)["signature"].startswith("v1:new:")
    assert during.refusal(TASK, before.sign(TASK, message)) is None
    assert during.refusal(TASK, after.sign(TASK, message)) is None
    assert after.refusal(TASK, before.sign(TASK, message)) == (
        "it is signed with key old, which this process does not have"
    )


def test_the_same_id_with_another_secret_is_refused() -> None:
    signed = Keyring([SecretStr("new:" + "x" * 32)]).sign(TASK, {"message_id": "m"})
    assert "is wrong" in refused(signed)


def test_a_message_for_one_task_is_none_for_another() -> None:
    assert "is wrong" in refused(Keyring([NEW]).sign(TASK, {"collection": "c"}), task="shoal.retrain.v1")


def test_without_keys_nothing_is_signed_and_nothing_refused() -> None:
    message = {"message_id": "m", "x": 0.5}
    assert Keyring().sign(TASK, message) == message
    assert Keyring().refusal(TASK, {**message, "signature": "anything"}) is None


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "not signed"),
        ("", "not of the form"),
        (5, "not of the form"),
        (["v1"], "not of the form"),
        ("v1:new:" + "0" * 63, "not of the form"),
        ("v1:new:" + "0" * 64 + "\n", "not of the form"),
        ("v1:new:" + "A" * 64, "not of the form"),
        ("v1:new:" + "é" * 64, "not of the form"),
        ("v2:new:" + "0" * 64, "not of the form"),
        ("v1:who:" + "0" * 64, "key who, which this process does not have"),
        ("v1:new:" + "0" * 64, "is wrong"),
    ],
)
def test_a_missing_or_broken_signature_is_refused_with_its_reason(signature: object, reason: str) -> None:
    assert reason in refused({"message_id": "m", "signature": signature})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [0.5, 1e300, float("nan"), 2**53, -(2**60), "\ud800", nested(100_000)])
def test_what_has_no_canonical_form_is_refused_and_raises_nothing(value: object) -> None:
    fields = {"message_id": "m", "x": value, "signature": "v1:new:" + "0" * 64}
    assert "cannot have been signed" in refused(fields)


def test_members_are_sorted_as_rfc_8785_sorts_them() -> None:
    # the example of its section 3.2.3: by UTF-16 code units, not by code points
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(names)))) == [
        *("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
    ]


def test_strings_are_escaped_as_rfc_8785_escapes_them() -> None:
    # of its section 3.2.2, with the control characters besides
    text = '\u20ac$\u000f\nA\'B"\\\\"/\b\t\f\r\u2028\x7f'
    expected = '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r\u2028\x7f"'
    assert canonical(text).decode() == expected


def test_the_example_in_the_document_is_right() -> None:
    part = DOC[DOC.index("To check an implementation") :]
    key = re.search(r"with the key `(.*?)`", part)
    message = re.search(r"```json\n(.*?)```", part, re.DOTALL)
    signed = re.search(r"signed is\s+```\n(.*?)\n```", part, re.DOTALL)
    signature = re.search(r"and the signature `(.*?)`", part)
    assert key
    assert message
    assert signed
    assert signature
    fields = json.loads(message[1])

    assert f"{TASK}\n{canonical(fields).decode()}" == signed[1]
    keyring = Keyring([SecretStr(key[1])])
    assert keyring.sign(TASK, fields)["signature"] == signature[1]
    assert keyring.refusal(TASK, {**fields, "signature": signature[1]}) is None


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (["no-colon-in-hunter2-hunter2-hunter2"], "key 1 is not of the form id:secret"),
        (["a b:hunter2hunter2hunter2hunter2hunter2"], "key 1 is not of the form"),
        (["a:hunter2"], "the secret of key a has less than 32 characters"),
        (["a:hunter2" + "x" * 32, "a:hunter2" + "y" * 32], "two keys are called a"),
    ],
)
def test_keys_that_cannot_be_read_are_refused_and_not_shown(keys: list[str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as caught:
        BrokerSettings.model_validate({"signing_keys": keys})
    shown = "; ".join(error["msg"] for error in caught.value.errors())
    assert "hunter2" not in shown


def test_secrets_do_not_show() -> None:
    settings = BrokerSettings(signing_keys=(NEW,))
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "n" * 32 not in shown
