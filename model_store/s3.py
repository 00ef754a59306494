"""An ObjectStore on S3: obstore where objects pass by the thousand, boto3 for everything else.

Sixteen boto3 threads read 324 objects of
3 KB a second where obstore in threads reads over 2,000, at a tenth of the CPU
(`docs/decisions/0005-obstore.md`). Single requests are in `s3_requests`; here they are tried again, and
many are done at once.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import length_hint
from uuid import uuid4

from model_store.byte_budget import ByteBudget, NoRoom, Reservation
from model_store.deadline import within
from model_store.in_parallel import in_parallel
from model_store.object_store import ANY_SIZE, Get, ObjectInfo, StoredObject
from model_store.retry import Retry
from model_store.right_of_way import RightOfWay
from model_store.s3_clients import fast_store, s3_client
from model_store.s3_errors import boto3_errors
from model_store.s3_requests import S3Requests
from model_store.settings import StoreSettings
from producer.errors import PreconditionFailed, ShoalError, StoreUnavailable, TooLarge


def check_bucket(bucket: str, settings: StoreSettings) -> None:
    """Ask for one bucket.

    Raises:
        ObjectNotFound: there is none of this name.
        StoreUnavailable, AccessDenied: the store does not answer, or refuses.
    """
    client = s3_client(settings)
    with contextlib.closing(client), boto3_errors(f"bucket {bucket}"):
        within(settings.timeout_s, f"bucket {bucket}", lambda: client.head_bucket(Bucket=bucket))


def create_bucket(bucket: str, settings: StoreSettings) -> bool:
    """Make a bucket; tells whether it is new.

    Raises:
        StoreUnavailable, AccessDenied: the store does not answer, or refuses.
    """
    client = s3_client(settings)
    with contextlib.closing(client), boto3_errors(f"bucket {bucket}"):
        try:
            within(settings.timeout_s, f"bucket {bucket}", lambda: client.create_bucket(Bucket=bucket))
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            return False
        return True


class S3Store:
    """One bucket of an S3-compatible store. See ObjectStore for the guarantees."""

    def __init__(self, bucket: str, settings: StoreSettings, right_of_way: RightOfWay | None = None) -> None:
        """Open no connection yet.

        Args:
            bucket: its name.
            settings: how to reach the store.
            right_of_way: that the requests of `get_many` and `put_many` pass, where there are several.

        Raises:
            NotReady: there are no credentials.
        """
        self.bucket = bucket
        self._client = s3_client(settings)
        self._requests = S3Requests(bucket, self._client, fast_store(bucket, settings), settings)
        self._retry = Retry(settings.max_retries, settings.retry_for_s)
        self._window = settings.max_in_flight
        self._right_of_way = right_of_way or RightOfWay(settings.max_in_flight)
        self._pool = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix=f"s3-{bucket}")

    def get(self, key: str) -> StoredObject:
        """See ObjectStore."""
        return self._get(Get(key), ANY_SIZE, None)

    def get_many(
        self, gets: Iterable[Get], *, max_bytes: int = ANY_SIZE, budget: ByteBudget | None = None
    ) -> Iterator[tuple[int, StoredObject | ShoalError]]:
        """See ObjectStore. Up to `max_in_flight` requests of this bucket are on their way at once.

        A single one, and the few of a thread with right of way, do not stand in line behind those of others.
        """
        if self._right_of_way.mine or length_hint(gets) == 1:
            for position, wanted in enumerate(gets):
                yield position, self._get_or_error(wanted, max_bytes, budget)
            return
        yield from in_parallel(
            self._pool,
            self._window,
            lambda wanted: self._get_or_error(wanted, max_bytes, budget),
            gets,
            self._right_of_way,
            unwanted=lambda found: _give_back(budget, found),
        )

    def put(self, key: str, data: bytes, *, create_only: bool = False, if_match: str | None = None) -> str:
        """See ObjectStore. After an unclear answer to a conditional write the store is asked whose it is."""
        if not create_only and if_match is None:
            return self._retry(lambda: self._requests.put(key, data))
        write = uuid4().hex
        unclear = False

        def attempt() -> str:
            nonlocal unclear
            try:
                return self._requests.put(key, data, create_only=create_only, if_match=if_match, write=write)
            except StoreUnavailable:
                unclear = True  # tried again it cannot be done twice: its own first success fails it
                raise
            except PreconditionFailed:
                found = self._requests.state(key) if unclear else None
                if found is None or found[1] != write:
                    raise
                return found[0]

        return self._retry(attempt)

    def put_many(
        self, items: Mapping[str, bytes], *, create_only: bool = False
    ) -> dict[str, str | ShoalError]:
        """See ObjectStore. For who does not stand in line see `get_many`."""
        keys = list(items)
        if self._right_of_way.mine or len(keys) == 1:
            return {key: self._put_or_error(key, items[key], create_only=create_only) for key in keys}
        done = in_parallel(
            self._pool,
            self._window,
            lambda key: self._put_or_error(key, items[key], create_only=create_only),
            keys,
            self._right_of_way,
        )
        return {keys[position]: outcome for position, outcome in done}

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See ObjectStore. SeaweedFS orders folder by folder: `a/b` before `a-b`."""
        token: str | None = None
        while True:
            found, token = self._retry(partial(self._requests.page, prefix, start_after, token))
            yield from found
            if token is None:
                return

    def folders(self, prefix: str) -> Iterator[str]:
        """See ObjectStore."""
        token: str | None = None
        while True:
            found, token = self._retry(partial(self._requests.folders, prefix, token))
            yield from found
            if token is None:
                return

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See ObjectStore."""
        unclear = False

        def attempt() -> None:
            nonlocal unclear
            try:
                self._requests.delete(key, if_match)
            except StoreUnavailable:
                unclear = True
                raise
            except PreconditionFailed:
                if not unclear or self._requests.state(key) is not None:
                    raise

        self._retry(attempt)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _put_or_error(self, key: str, data: bytes, *, create_only: bool) -> str | ShoalError:
        try:
            return self.put(key, data, create_only=create_only)
        except ShoalError as error:
            return error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in obstore's Rust is no Exception
            return _panic(key, error)

    def _get_or_error(
        self, wanted: Get, max_bytes: int, budget: ByteBudget | None
    ) -> StoredObject | ShoalError:
        held = None if budget is None else Reservation(budget)
        found: StoredObject | ShoalError
        try:
            found = self._get(wanted, max_bytes, held)
        except ShoalError as error:
            found = error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in obstore's Rust is no Exception
            found = _panic(wanted.key, error)
        if held is not None:
            held.keep() if isinstance(found, StoredObject) else held.drop()
        return found

    def _get(self, wanted: Get, max_bytes: int, held: Reservation | None) -> StoredObject:
        def attempt() -> StoredObject:
            room = None if held is None else held.begin()

            def admit(size_bytes: int) -> None:
                if size_bytes > max_bytes:
                    raise TooLarge(f"{wanted.key} has {size_bytes} bytes, the limit is {max_bytes}")
                if room is not None:
                    room(size_bytes)

            return self._requests.get(wanted, admit)

        while True:
            try:
                return self._retry(attempt)
            except NoRoom as full:
                if held is None:
                    raise
                held.wait_for(full.size_bytes)  # with no connection open: it would time out


def _give_back(budget: ByteBudget | None, found: StoredObject | ShoalError) -> None:
    if budget is not None and isinstance(found, StoredObject):
        budget.give_back(len(found.data))


def _panic(key: str, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"the client failed on {key!r}: {type(error).__name__}: {error}")
