"""A folder's files, uploaded in the order of their names: bounded in memory, however many and however large.

A folder of a million files is gone through several times, each time for the next names in order, instead of
being sorted in memory. Links to folders are not followed.
"""

import heapq
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from console.bulk_source import BulkPage
from model_store.manifest import sha256
from model_store.object_store import ObjectStore
from producer.contracts import ImageRef
from producer.errors import ConfigurationError
from producer.s3_events import image_id_for

PAGE: Final = 1_024  # files
NAMES_AT_ONCE: Final = 50_000
UPLOADED_AT_ONCE: Final = 256  # files, or
UPLOADED_BYTES: Final = 64 << 20
MAX_FILE_BYTES: Final = 64 << 20  # larger ones can be no pictures that a worker takes


class Folder:
    """Every file under a folder; uploading is part of going through it."""

    kind = "dir"

    def __init__(self, folder: Path, store: ObjectStore, bucket: str, prefix: str) -> None:
        """Count the files.

        Raises:
            ConfigurationError: it cannot be read.
        """
        self._folder, self._store, self._bucket, self._prefix = folder.resolve(), store, bucket, prefix
        self.name = str(folder)
        self.identity = f"{self._folder}\0{prefix}"
        try:
            self.total = sum(len(files) for _, _, files in os.walk(self._folder, onerror=_raise))
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be read: {error}") from error

    def pages(self, after: str) -> Iterator[BulkPage]:
        """See BulkSource. The cursor is the last file that is done, from the folder on."""
        files = files_after(self._folder, tuple(after.split("/")) if after else ())
        while some := list(islice(files, PAGE)):
            yield self._uploaded(some)

    def _uploaded(self, names: list[str]) -> BulkPage:
        refs: list[ImageRef] = []
        skipped, first = 0, None
        batch: dict[str, bytes] = {}
        for name in names:
            try:
                key, data = self._keyed(name)
            except (OSError, ValueError) as error:
                skipped, first = skipped + 1, first or f"{name}: {error}"
                continue
            if len(batch) == UPLOADED_AT_ONCE or sum(map(len, batch.values())) + len(data) > UPLOADED_BYTES:
                refs += self._put(batch)
                batch = {}
            batch[key] = data
        refs += self._put(batch)
        return BulkPage(tuple(refs), names[-1], skipped, first)

    def _keyed(self, name: str) -> tuple[str, bytes]:
        """Give a file's key and bytes; the content is part of the key, since equal names are common."""
        file = self._folder / name
        size_bytes = file.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ValueError(f"{size_bytes} bytes, no picture has more than {MAX_FILE_BYTES}")
        name.encode()  # a name that is no Unicode can be no key
        data = file.read_bytes()
        return f"{self._prefix}{sha256(data)[:16]}/{file.name}", data

    def _put(self, batch: dict[str, bytes]) -> list[ImageRef]:
        for outcome in self._store.put_many(batch).values():
            if not isinstance(outcome, str):
                raise outcome
        return [ImageRef(image_id=image_id_for(self._bucket, k), bucket=self._bucket, key=k) for k in batch]


def files_after(folder: Path, after: tuple[str, ...] = (), at_once: int = NAMES_AT_ONCE) -> Iterator[str]:
    """List files, by the names of folders and files in order, from the folder on; `after` is left out.

    Args:
        folder: where.
        after: parts of the last name that is done.
        at_once: names held in memory, per level.
    """
    if after and (folder / after[0]).is_dir():
        yield from (f"{after[0]}/{name}" for name in files_after(folder / after[0], after[1:], at_once))
    last = after[0] if after else ""
    while True:
        with os.scandir(folder) as entries:
            some = heapq.nsmallest(at_once, (entry.name for entry in entries if entry.name > last))
        for name in some:
            path = folder / name
            if path.is_dir():
                if not path.is_symlink():
                    yield from (f"{name}/{below}" for below in files_after(path, (), at_once))
            elif path.is_file():
                yield name
        if len(some) < at_once:
            return
        last = some[-1]


def _raise(error: OSError) -> None:
    raise error
