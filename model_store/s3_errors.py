"""What obstore and boto3 raise, in Shoal's own words: the only module that knows either's exceptions."""

import contextlib
import re
import traceback
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, SSLError
from obstore import exceptions as obs

from producer.errors import AccessDenied, ObjectNotFound, PreconditionFailed, StoreBusy, StoreUnavailable

NOT_FOUND: Final = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "NotFound"}
DENIED: Final = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
CONDITION_FAILED: Final = {"PreconditionFailed", "412"}
BUSY: Final = {"SlowDown", "ServiceUnavailable", "Throttling", "TooManyRequests", "429", "503"}
# what cannot name an object, such as a key with `..` for SeaweedFS, or a version id that is none
KEY_REFUSED: Final = {"InvalidRequest", "InvalidURI", "InvalidArgument", "KeyTooLongError"}
STATUS: Final = re.compile(
    r"status code: (\d{3})[^<]*(?:<\?xml[^>]*\?>\s*)?(?:<Error>.*?<Code>(\w+)</Code>)?", re.DOTALL
)
_UNTRUSTED: Final = (
    "the store's certificate is not trusted: correct SHOAL_STORE__CA_FILE or SHOAL_STORE__ENDPOINT"
)


@contextlib.contextmanager
def obstore_errors(key: str, *, reading: bool = False) -> Iterator[None]:
    """Translate what obstore raises for this key; see `boto3_errors` for `reading`."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"no object {key}") from error
    except (obs.PermissionDeniedError, obs.UnauthenticatedError, PermissionError) as error:
        raise AccessDenied(f"the store refuses access to {key}") from error
    except (obs.BaseError, OSError) as error:
        found = STATUS.search(str(error))
        status, code = (found[1], found[2] or found[1]) if found else ("", "")
        if isinstance(error, (obs.AlreadyExistsError, obs.PreconditionError)) and status != "409":
            raise PreconditionFailed(f"{key} exists or has changed") from error
        if reading and status == "400" and code in KEY_REFUSED:
            raise ObjectNotFound(f"the store has no such object: {key}: {code}") from error
        if "InvalidCertificate" in str(error):
            raise StoreUnavailable(_UNTRUSTED) from error
        unavailable = StoreBusy if status in BUSY else StoreUnavailable
        raise unavailable(f"the store did not serve {key}: {code or str(error).splitlines()[0]}") from error


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
        unavailable = StoreBusy if code in BUSY else StoreUnavailable
        raise unavailable(f"the store did not serve {key}: {code}") from error
    except SSLError as error:
        raise StoreUnavailable(f"{_UNTRUSTED}: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise StoreUnavailable(f"the store did not answer for {key}: {error}") from error
    except (KeyError, ValueError) as error:  # an answer that was cut short, or is an error with status 200
        # botocore drops the connection without closing it, and the traceback's frames would keep it open
        traceback.clear_frames(error.__traceback__)
        raise StoreUnavailable(f"the store's answer for {key} is not whole: {error}") from error
