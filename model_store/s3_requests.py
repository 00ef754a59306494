"""Single requests of one bucket: each ends inside its time limit, and what it gives is whole and checked.

Of an answer the status is not believed alone: a 200 may carry `<Error>`, and a body may be another's. What
is read or written must have an ETag, and must have the MD5 that the ETag of a single upload is.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import obstore
from obstore.store import S3Store as FastStore

from model_store.deadline import within
from model_store.object_store import Get, ObjectInfo, StoredObject
from model_store.s3_errors import boto3_errors, obstore_errors
from model_store.settings import StoreSettings
from producer.errors import ObjectNotFound, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from obstore import UpdateVersion

WRITE: Final = "shoal-write"  # metadata: which write made the object
MD5: Final = re.compile(r"[0-9a-f]{32}")
T = TypeVar("T")


class S3Requests:
    """Nothing is tried twice here. obstore for every key that it takes as it is, boto3 for the rest."""

    def __init__(self, bucket: str, client: "S3Client", fast: FastStore, settings: StoreSettings) -> None:
        self._bucket = bucket
        self._client = client
        self._fast = fast
        self._timeout_s = settings.timeout_s
        self._check_etag = settings.check_etag

    def get(self, wanted: Get, admit: Callable[[int], None]) -> StoredObject:
        """Read one object whole, or not at all.

        Args:
            wanted: which.
            admit: called with its size in bytes before they are read; what it raises is raised.

        Raises:
            ObjectNotFound, PreconditionFailed, AccessDenied, StoreUnavailable: see ObjectStore.
        """
        if not _plain(wanted.key):
            return self._within(wanted.key, lambda: self._get_by_boto3(wanted, admit))
        options: obstore.GetOptions = {}
        if wanted.version_id is not None:
            options["version"] = wanted.version_id
        if wanted.if_match is not None:
            options["if_match"] = _quoted(wanted.if_match)
        with obstore_errors(wanted.key, reading=True):
            found = obstore.get(self._fast, wanted.key, options=options)
            meta = found.meta  # made anew by each look
            admit(meta["size"])
            data = found.bytes().to_bytes()
        return StoredObject(data, self._checked(wanted.key, data, meta["e_tag"], meta["size"]))

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_match: str | None = None,
        write: str | None = None,
    ) -> str:
        """Write one object whole; gives its ETag.

        Args:
            key: where to.
            data: all of it.
            create_only: only if no object has this key.
            if_match: only if the object still has this ETag.
            write: kept with the object, for `state`.

        Raises:
            PreconditionFailed: the condition does not hold.
            StoreUnavailable: whether it was written is not known.
        """
        if not _plain(key):
            return self._within(
                key,
                partial(
                    self._put_by_boto3, key, data, create_only=create_only, if_match=if_match, write=write
                ),
            )
        mode: Literal["create", "overwrite"] | UpdateVersion = "create" if create_only else "overwrite"
        if if_match is not None:
            mode = {"e_tag": _quoted(if_match)}
        with obstore_errors(key):
            done = obstore.put(
                self._fast,
                key,
                data,
                mode=mode,
                attributes={WRITE: write} if write else None,
                use_multipart=False,
            )
        return self._checked(key, data, done["e_tag"])

    def state(self, key: str) -> tuple[str, str | None] | None:
        """Tell an object's ETag, and which write made it if that was conditional; None if there is none.

        Reads the object whole: of an answer to HEAD that is cut among its headers nothing is missed.
        """

        def stated() -> tuple[str, str | None]:
            with boto3_errors(key):
                found = self._client.get_object(Bucket=self._bucket, Key=key)
                with contextlib.closing(found["Body"]) as body:
                    data = body.read()
                etag = self._checked(key, data, found["ETag"], found["ContentLength"])
                return etag, found["Metadata"].get(WRITE)

        try:
            return self._within(key, stated)
        except ObjectNotFound:
            return None

    def page(self, prefix: str, start_after: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        """List up to a thousand keys; gives the token of the next page, None after the last."""
        more: dict[str, Any] = {} if token is None else {"ContinuationToken": token}

        def listed() -> tuple[list[ObjectInfo], str | None]:
            with boto3_errors(prefix):
                page = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=prefix, StartAfter=start_after, **more
                )
                found = [
                    ObjectInfo(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])
                    for item in page.get("Contents", [])
                ]
                return found, page["NextContinuationToken"] if page["IsTruncated"] else None

        return self._within(prefix, listed)

    def folders(self, prefix: str, token: str | None) -> tuple[list[str], str | None]:
        """List up to a thousand folders right under a prefix; gives the token of the next page."""
        more: dict[str, Any] = {} if token is None else {"ContinuationToken": token}

        def listed() -> tuple[list[str], str | None]:
            with boto3_errors(prefix):
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/", **more)
                found = [each["Prefix"][len(prefix) : -1] for each in page.get("CommonPrefixes", [])]
                return found, page["NextContinuationToken"] if page["IsTruncated"] else None

        return self._within(prefix, listed)

    def delete(self, key: str, if_match: str | None) -> None:
        """Remove an object; see ObjectStore."""
        condition: dict[str, Any] = {} if if_match is None else {"IfMatch": _quoted(if_match)}

        def deleted() -> None:
            with boto3_errors(key, conditional=bool(condition)):
                self._client.delete_object(Bucket=self._bucket, Key=key, **condition)

        self._within(key, deleted)

    def _within(self, key: str, request: Callable[[], T]) -> T:
        return within(self._timeout_s, key, request)

    def _get_by_boto3(self, wanted: Get, admit: Callable[[int], None]) -> StoredObject:
        options = {} if wanted.version_id is None else {"VersionId": wanted.version_id}
        if wanted.if_match is not None:
            options["IfMatch"] = _quoted(wanted.if_match)
        with boto3_errors(wanted.key, reading=True):
            found = self._client.get_object(Bucket=self._bucket, Key=wanted.key, **options)  # type: ignore[arg-type]
            with contextlib.closing(found["Body"]) as body:
                admit(found["ContentLength"])
                data = body.read()
            return StoredObject(data, self._checked(wanted.key, data, found["ETag"], found["ContentLength"]))

    def _put_by_boto3(
        self, key: str, data: bytes, *, create_only: bool, if_match: str | None, write: str | None
    ) -> str:
        options: dict[str, Any] = {"IfNoneMatch": "*"} if create_only else {}
        if if_match is not None:
            options["IfMatch"] = _quoted(if_match)
        if write is not None:
            options["Metadata"] = {WRITE: write}
        with boto3_errors(key, conditional=create_only or if_match is not None):
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **options)
            return self._checked(key, data, answer["ETag"])

    def _checked(self, key: str, data: bytes, etag: str | None, size_bytes: int | None = None) -> str:
        """Give the ETag without quotes, if it is that of these bytes."""
        known = (etag or "").strip('"')
        if not known:  # such as an error with status 200
            raise StoreUnavailable(f"the store answered for {key} without an ETag: that is no object")
        if size_bytes not in (None, len(data)):
            raise StoreUnavailable(f"the store promised {size_bytes} bytes of {key} and sent {len(data)}")
        if self._check_etag and MD5.fullmatch(known):
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if md5 != known:
                raise StoreUnavailable(
                    f"{key} has other bytes than its ETag says. If the bucket encrypts with keys of KMS or "
                    "of the client, whose ETags are no MD5, set SHOAL_STORE__CHECK_ETAG=false"
                )
        return known


def _plain(key: str) -> bool:
    """Tell whether obstore takes the key as it is; it drops outer slashes and refuses `..` and `//`."""
    return (
        key.isprintable() and "\\" not in key and all(part not in ("", ".", "..") for part in key.split("/"))
    )


def _quoted(etag: str) -> str:
    return '"' + etag.strip('"') + '"'
