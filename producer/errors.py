"""Everything Shoal raises on purpose: one root, two branches, and the branch carries the policy.

```
ShoalError
├── TransientError      try again, with backoff
│   ├── BrokerUnavailable    Redis does not answer
│   ├── QueueFull            the lane is past its depth limit
│   ├── StoreUnavailable     the object store does not answer, or answers 5xx, or nonsense
│   │   └── StoreBusy            it asks for fewer requests
│   ├── NotReady             a start found no server, bucket or credentials in its time, or a port taken
│   └── NoChampion           the collection has no promoted model yet
└── PermanentError      record it; trying again changes nothing
    ├── ConfigurationError   a setting is missing or wrong; the message says which
    ├── InvalidReference     a reference or message breaks the contract
    ├── ObjectNotFound       no such key
    ├── AccessDenied         credentials or policy forbid it
    ├── PreconditionFailed   somebody else wrote first (create-only or compare-and-swap)
    ├── TooLarge             an object is over its byte limit
    ├── BundleInvalid        a model's files are missing, tampered with or do not answer their probe
    └── TrainingFailed       too few pictures, or the loss is no longer finite
```
"""


class ShoalError(Exception):
    """Root of every error that Shoal raises on purpose."""


class TransientError(ShoalError):
    """May succeed when tried again."""


class PermanentError(ShoalError):
    """Fails again however often it is tried."""


class BrokerUnavailable(TransientError):
    """Redis does not answer within its time limit."""


class QueueFull(TransientError):
    """The lane holds more waiting messages than the limit; nothing was queued."""


class StoreUnavailable(TransientError):
    """The object store does not answer, or answers with a server error, or with less than it promised."""


class StoreBusy(StoreUnavailable):
    """The object store asks for fewer requests: wait longer before the next."""


class NotReady(TransientError):
    """What a start needs was not there in its time: a server, a bucket, credentials, or a port of its own."""


class NoChampion(TransientError):
    """The collection has no promoted model yet."""


class ConfigurationError(PermanentError):
    """A setting is missing or wrong."""


class InvalidReference(PermanentError):
    """A reference or message breaks the contract."""


class ObjectNotFound(PermanentError):
    """No object has this key."""


class AccessDenied(PermanentError):
    """Credentials or policy forbid the request."""


class PreconditionFailed(PermanentError):
    """Somebody else wrote first: the key exists, or its ETag has changed."""


class TooLarge(PermanentError):
    """The object is over its byte limit."""


class BundleInvalid(PermanentError):
    """A model's files are missing, altered, or do not answer their probe."""


class TrainingFailed(PermanentError):
    """The run cannot give a model: too few pictures, or a loss that is not finite."""
