"""A message's fields, believed only once they are rightly signed and keep the contract."""

from typing import Any

from pydantic import ValidationError

from producer.broker import CLASSIFY
from producer.contracts import ClassifyImages
from producer.errors import InvalidReference
from producer.signing import Keyring


def admitted(fields: dict[str, Any], keyring: Keyring) -> ClassifyImages:
    """Read a message; `fields` has the id that it has from now on, so a signature must be over an id.

    Raises:
        InvalidReference: not signed as the keyring asks, or against the contract; says why.
    """
    refusal = keyring.refusal(CLASSIFY, fields)
    if refusal is not None:
        raise InvalidReference(f"is refused: {refusal}")
    try:
        return ClassifyImages.model_validate(fields)
    except ValidationError as error:
        reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidReference(f"breaks the contract: {reason}") from error
