"""Before a process takes work: broker, store and buckets really answer, or a clear error says what to do."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

import structlog

from model_store.exclusion import check_conditions, check_exclusion
from model_store.s3 import S3Store, check_bucket
from model_store.settings import StoreSettings
from producer.broker import broker_errors, redis_client
from producer.errors import ConfigurationError, NotReady, ObjectNotFound, ShoalError, TransientError
from producer.settings import BrokerSettings

log = structlog.get_logger(__name__)

PAUSE_S: Final = 1.0
SAY_EVERY_S: Final = 5.0


def wait_until_ready(
    broker: BrokerSettings,
    store: StoreSettings,
    timeout_s: float,
    *,
    promotes: bool = False,
    on_wait: Callable[[], object] = lambda: None,
) -> None:
    """Return when everything answers, and an object was written and read back.

    Args:
        broker: that must answer.
        store: likewise, and have its buckets.
        timeout_s: for all of it.
        promotes: this process moves aliases, so racing writes must exclude; what only writes results
            starts without, and says so as an error.
        on_wait: called at each look; whatever it raises ends the waiting.

    Raises:
        NotReady: something did not within `timeout_s`; says what, where and which setting.
        ConfigurationError: something refuses us, or conditional writes do not exclude; says the same.
    """
    give_up_at = time.monotonic() + timeout_s
    waited = partial(wait_for, give_up_at=give_up_at, on_wait=on_wait)
    waited("broker", broker.masked_url(), "SHOAL_BROKER__URL", lambda: ping(broker))
    for bucket in (store.bucket, *store.allowed_buckets):
        where = f"bucket {bucket} at {store.endpoint or 'AWS'}"
        waited("store", where, "SHOAL_STORE__*", partial(check_bucket, bucket, store))
    where = f"bucket {store.bucket} at {store.endpoint or 'AWS'}"
    probe = partial(probe_writes, store, promotes=promotes)
    # a store that has just started knows its buckets some time before it reads and writes
    waited("store", where, "SHOAL_STORE__*", probe)


def probe_writes(settings: StoreSettings, *, promotes: bool) -> None:
    """Write and read back, and try whether conditional writes exclude.

    Raises:
        ConfigurationError: `promotes`, and they do not.
        TransientError, AccessDenied: the store does not answer, or refuses.
    """
    with closing(S3Store(settings.bucket, settings)) as store:
        if promotes:
            check_exclusion(store)
            return
        try:
            check_conditions(store)
        except ConfigurationError as error:
            log.error("the store breaks its word, this process goes on", reason=str(error))  # noqa: TRY400


def ping(broker: BrokerSettings) -> None:
    """Ask the broker for a sign of life.

    Raises:
        BrokerUnavailable: there is none, or it refuses the password.
    """
    with broker_errors(broker), redis_client(broker) as client:
        client.ping()


def wait_for(
    what: str,
    where: str,
    setting: str,
    probe: Callable[[], object],
    give_up_at: float,
    on_wait: Callable[[], object] = lambda: None,
) -> None:
    """Call `probe` until it does not raise, at most until `give_up_at` on the monotonic clock.

    Raises:
        NotReady: it never did; names what, where and the setting.
        ConfigurationError: it was refused; names the same.
    """
    said_at = float("-inf")
    while True:
        try:
            probe()
        except (TransientError, ObjectNotFound) as error:
            now = time.monotonic()
            if now > give_up_at:
                raise NotReady(f"no {what}: {where}: {error}. Start it, or correct {setting}") from error
            if now - said_at > SAY_EVERY_S:
                said_at = now
                left_s = round(give_up_at - now)
                log.warning("waiting", what=what, where=where, reason=str(error), left_s=left_s)
            on_wait()
            time.sleep(PAUSE_S)
        except ShoalError as error:  # refused: waiting does not help
            raise ConfigurationError(f"the {what} refuses us: {where}: {error}. Correct {setting}") from error
        else:
            return
