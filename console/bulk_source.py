"""What `shoal submit --bulk` goes through, page by page: a prefix of a bucket, or the lines of a manifest.

No source is held in memory, and each can be taken up again after any page.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from pydantic import ValidationError

from model_store.listing import pages
from model_store.object_store import ObjectStore
from producer.contracts import ImageRef
from producer.errors import ConfigurationError
from producer.s3_events import image_id_for

PAGE: Final = 10_240  # 40 full messages
COLUMNS: Final = ("key", "bucket", "image_id", "version_id", "etag", "allow_training")
YES_OR_NO: Final = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class BulkPage:
    """Some references, and from where to go on once they are submitted."""

    refs: tuple[ImageRef, ...]
    cursor: str
    skipped: int = 0
    first_skipped: str | None = None


class BulkSource(Protocol):
    """Where a job's references come from."""

    @property
    def kind(self) -> str:
        """Give the first part of its jobs' names."""

    @property
    def name(self) -> str:
        """Give it as people wrote it."""

    @property
    def identity(self) -> str:
        """Give what is the same for the same source only."""

    @property
    def total(self) -> int | None:
        """Tell how many references there are, about; None if that is not known."""

    def pages(self, after: str) -> Iterator[BulkPage]:
        """Give everything after a cursor; empty to begin."""


class StoredPictures:
    """Every object under a prefix of an uploads bucket, as it is when a worker reads it."""

    kind = "s3"
    total = None

    def __init__(self, store: ObjectStore, bucket: str, prefix: str) -> None:
        self._store, self._bucket, self._prefix = store, bucket, prefix
        self.name = self.identity = f"s3://{bucket}/{prefix}"

    def pages(self, after: str) -> Iterator[BulkPage]:
        """See BulkSource."""
        for page in pages(self._store, self._prefix, after=after, size=PAGE):
            keys = (info.key for info in page.objects if not info.key.endswith("/"))  # a marker of a folder
            refs = (
                ImageRef(image_id=image_id_for(self._bucket, key), bucket=self._bucket, key=key)
                for key in keys
            )
            yield BulkPage(tuple(refs), page.resume_after)


class CsvManifest:
    """A CSV file with a header: `key`, and perhaps bucket, image_id, version_id, etag, allow_training."""

    kind = "csv"

    def __init__(self, file: Path, bucket: str, allowed: tuple[str, ...]) -> None:
        """Read it once, for its digest: a file that changed is another job.

        Args:
            file: UTF-8.
            bucket: of lines that name none.
            allowed: buckets that workers read.

        Raises:
            ConfigurationError: it cannot be read, or has no column `key`.
        """
        self._file, self._bucket, self._allowed = file, bucket, allowed
        self.name, digest, self.total = str(file), hashlib.sha256(), 0
        try:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
                    self.total += block.count(b"\n")
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
        self.identity = digest.hexdigest()
        header = next(self._rows(), None)
        self.unused = sorted(set(header or ()) - set(COLUMNS))
        if header is not None and "key" not in header:
            raise ConfigurationError(
                f"{file} has no column `key`; its first line is a header: {', '.join(COLUMNS)}"
            )

    def pages(self, after: str) -> Iterator[BulkPage]:
        """See BulkSource. The cursor is the number of lines that are done."""
        done = int(after or 0)
        rows = islice(self._rows(), done, None)
        while some := list(islice(rows, PAGE)):
            refs: list[ImageRef] = []
            skipped, first = 0, None
            for number, row in enumerate(some, start=done + 2):  # as an editor counts, the header included
                try:
                    refs.append(self._ref(row))
                except ValueError as error:
                    skipped, first = skipped + 1, first or f"entry {number}: {_why(error)}"
            done += len(some)
            yield BulkPage(tuple(refs), str(done), skipped, first)

    def _rows(self) -> Iterator[dict[str, str]]:
        try:
            with self._file.open(newline="", encoding="utf-8-sig") as stream:
                yield from csv.DictReader(stream, restval="", restkey="")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(f"{self._file} is no CSV in UTF-8: {error}") from error

    def _ref(self, row: dict[str, str]) -> ImageRef:
        given = {name: row[name].strip() for name in COLUMNS if row.get(name)}
        key, bucket = row["key"], given.get("bucket", self._bucket)
        if bucket not in self._allowed:
            raise ValueError(f"workers may not read the bucket {bucket}")
        allow = given.get("allow_training", "").lower()
        if allow not in YES_OR_NO:
            raise ValueError(f"allow_training is true or false, not {allow}")
        return ImageRef(
            image_id=given.get("image_id") or image_id_for(bucket, key),
            bucket=bucket,
            key=key,
            version_id=given.get("version_id"),
            etag=given.get("etag"),
            allow_training=YES_OR_NO[allow],
        )


def _why(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error)
