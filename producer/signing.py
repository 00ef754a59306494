"""Signed messages: HMAC-SHA256 with a shared secret, so that a stranger on Redis cannot put work in.

```
signature = "v1:" KEY-ID ":" hex(HMAC-SHA256(secret, TASK, line feed, JSON))
```
TASK is the Celery task's name, which keeps a message for one task from passing as one for another. JSON is
all fields of the message as they are sent, those that Shoal does not know included, `signature` alone left
out, in the canonical form of RFC 8785 (sorted, no blanks, UTF-8): most languages have a library for it.
Checked is what came, before anything is read into it, so a field that is added, taken away or changed in any
way breaks the signature. `message_id` must be among what is signed: then a message that somebody
copies off the wire and sends again is the same message again, and doing that twice changes nothing.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr

FIELD: Final = "signature"
MIN_SECRET_LENGTH: Final = 32  # characters
LARGEST_INTEGER: Final = 2**53 - 1  # beyond it, and for fractions, languages write numbers differently
KEY: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):(.*)", re.DOTALL)
SIGNATURE: Final = re.compile(r"v1:([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")


class Keyring:
    """The secrets that an installation shares: the first signs, all verify; without any nothing is signed."""

    def __init__(self, keys: Sequence[SecretStr] = ()) -> None:
        """Read keys of the form `id:secret`.

        Raises:
            ValueError: a key has another form, a short secret, or an id that is taken; shows no secret.
        """
        self._secrets: dict[str, bytes] = {}
        for position, key in enumerate(keys, start=1):
            found = KEY.fullmatch(key.get_secret_value())
            if found is None:
                raise ValueError(f"key {position} is not of the form id:secret")
            key_id, secret = found.groups()
            if len(secret) < MIN_SECRET_LENGTH:
                raise ValueError(f"the secret of key {key_id} has less than {MIN_SECRET_LENGTH} characters")
            if key_id in self._secrets:
                raise ValueError(f"two keys are called {key_id}")
            self._secrets[key_id] = secret.encode()

    def sign(self, task: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Give the fields with a signature of the first key; unchanged where there are no keys.

        Raises:
            ValueError: the fields have no canonical form.
        """
        if not self._secrets:
            return dict(fields)
        key_id = next(iter(self._secrets))
        return {**fields, FIELD: f"v1:{key_id}:{self._digest(key_id, task, fields)}"}

    def refusal(self, task: str, fields: Mapping[str, Any]) -> str | None:
        """Tell why a message must not be done; None if it may, as all may where there are no keys.

        Args:
            task: name of the Celery task that it came for.
            fields: as they came.
        """
        if not self._secrets:
            return None
        signature = fields.get(FIELD)
        found = SIGNATURE.fullmatch(signature) if isinstance(signature, str) else None
        if found is None:
            wrong_form = "its signature is not of the form v1:key-id:64-hexadecimal-digits"
            absent = "it is not signed, and this process takes signed messages only"
            return absent if signature is None else wrong_form
        key_id, digest = found.groups()
        if key_id not in self._secrets:
            return f"it is signed with key {key_id}, which this process does not have"
        try:
            expected = self._digest(key_id, task, fields)
        except (ValueError, RecursionError) as error:
            return f"it cannot have been signed: {error}"
        if not hmac.compare_digest(expected, digest):
            return (
                f"its signature by key {key_id} is wrong: it was changed after signing, signed with another "
                "secret or for another task, or signed without a message_id"
            )
        return None

    def _digest(self, key_id: str, task: str, fields: Mapping[str, Any]) -> str:
        signed = canonical({name: value for name, value in fields.items() if name != FIELD})
        return hmac.new(self._secrets[key_id], task.encode() + b"\n" + signed, hashlib.sha256).hexdigest()


def canonical(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Write JSON in the one form that RFC 8785 gives it.

    Raises:
        ValueError: a number is no integer within 2^53, or a string is not Unicode.
        RecursionError: it is nested too deep.
    """
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":")).encode()


def _ordered(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > LARGEST_INTEGER):
        raise ValueError(f"{value!r:.40} is not an integer within 2^53")
    return value


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")  # the order of RFC 8785, section 3.2.3
