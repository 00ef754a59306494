"""What obstore and boto3 raise, in Shoal's own words: the only module that knows either's exceptions."""

import contextlib
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, SSLError
from obstore import exceptions as obs

from producer.errors import AccessDenied, ObjectNotFound, PreconditionFailed, StoreUnavailable

NOT_FOUND: Final = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "NotFound"}
DENIED: Final = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
CONDITION_FAILED: Final = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
KEY_REFUSED: Final = {
    "InvalidRequest",
    "InvalidURI",
    "KeyTooLongError",
}  # such as SeaweedFS for a key with `..`
_UNTRUSTED: Final = (
    "the store's certificate is not trusted: correct SHOAL_STORE__CA_FILE or SHOAL_STORE__ENDPOINT"
)


@contextlib.contextmanager
def obstore_errors(key: str) -> Iterator[None]:
    """Translate what obstore raises for this key."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"no object {key}") from error
    except (obs.AlreadyExistsError, obs.PreconditionError) as error:
        raise PreconditionFailed(f"{key} exists or has changed") from error
    except (obs.PermissionDeniedError, obs.UnauthenticatedError, PermissionError) as error:
        raise AccessDenied(f"the store refuses access to {key}") from error
    except (obs.BaseError, OSError) as error:
        if "status code: 400" in str(error):  # such as a version id that is none
            raise ObjectNotFound(f"the store has no such object: {key}") from error
        if "InvalidCertificate" in str(error):
            raise StoreUnavailable(_UNTRUSTED) from error
        raise StoreUnavailable(f"the store did not serve {key}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def boto3_errors(key: str, *, conditional: bool = False, reading: bool = False) -> Iterator[None]:
    """Translate what boto3 raises for this key.

    Args:
        key: or bucket; stands in the message.
        conditional: the request had a condition, which a missing object fails.
        reading: a key that the store refuses is one that it does not have.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in CONDITION_FAILED or (conditional and code in NOT_FOUND):
            raise PreconditionFailed(f"{key} exists or has changed") from error
        if code in NOT_FOUND:
            raise ObjectNotFound(f"no object {key}") from error
        if reading and code in KEY_REFUSED:
            raise ObjectNotFound(f"the store has no keys such as {key}: {code}") from error
        if code in DENIED:
            raise AccessDenied(f"the store refuses access to {key}: {code}") from error
        raise StoreUnavailable(f"the store did not serve {key}: {code}") from error
    except SSLError as error:
        raise StoreUnavailable(f"{_UNTRUSTED}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"the store did not answer for {key}: {error}") from error
