"""Where a picture is named: in a key, in JSON, in the columns of Parquet, in any other bytes.

An id counts as a whole: `img_1` is named in `results/im/img_1.json`, in `"img_1"` and in `img_1.`, not in
`img_10` nor in `img_1.jpg`, which are ids of other pictures.
"""

import base64
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_store.object_store import Get, ObjectInfo, ObjectStore, StoredObject
from producer.errors import ObjectNotFound

SCANNED_AT_ONCE: Final = 64
SCANNED_BYTES: Final = 128 << 20  # in memory at once, unless one object is larger
PART_OF_ID: Final = "A-Za-z0-9._~-"
BASE64: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
HEADER_BYTES: Final = 8  # of safetensors: the length of the JSON that follows


class Ids:
    """The ids that are looked for."""

    def __init__(self, image_ids: Iterable[str]) -> None:
        self.all = frozenset(image_ids)
        any_of = "|".join(re.escape(image_id) for image_id in sorted(self.all, key=len, reverse=True))
        whole = rf"(?<![{PART_OF_ID}])(?:{any_of})(?=(?:\.json|\.parquet|\.)?(?![{PART_OF_ID}]))"
        self.pattern = re.compile(whole)
        self._bytes = re.compile(whole.encode())

    def in_text(self, text: str) -> set[str]:
        """Tell which ids a text names."""
        return set(self.pattern.findall(text))

    def in_bytes(self, data: bytes) -> set[str]:
        """Tell which ids stand in bytes of any kind."""
        return {found.decode() for found in self._bytes.findall(data)}

    def in_encoded(self, text: str, depth: int = 3) -> set[str]:
        """Tell which ids are named in what stands in a text as base64, as envelopes carry their bodies."""
        found: set[str] = set()
        for run in BASE64.findall(text):
            try:
                inner = base64.b64decode(run[: len(run) - len(run) % 4]).decode()
            except ValueError:  # a digest, or a key: no text
                continue
            found |= self.in_text(inner)
            if depth:
                found |= self.in_encoded(inner, depth - 1)
        return found

    def in_object(self, key: str, data: bytes) -> set[str]:
        """Tell which ids an object names, by its key or its content."""
        found = self.in_text(key)
        if key.endswith(".parquet"):
            return found | self._in_parquet(data)
        if key.endswith(".safetensors"):  # numbers behind the header would spell short ids by chance
            size = int.from_bytes(data[:HEADER_BYTES], "little")
            return found | self.in_bytes(data[HEADER_BYTES : HEADER_BYTES + size])
        if key.endswith(".json"):
            try:
                return found.union(*map(self._in_string, strings(json.loads(data))))
            except ValueError:
                return found | self._in_string(data.decode("latin-1"))
        return found | self._in_string(data.decode("latin-1"))  # ids are ASCII

    def _in_string(self, text: str) -> set[str]:
        return self.in_text(text) | self.in_encoded(text)

    def _in_parquet(self, data: bytes) -> set[str]:
        table = pq.read_table(io.BytesIO(data))
        found = self.in_bytes(b" ".join((table.schema.metadata or {}).values()))
        for column in table.columns:
            while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
                column = pc.list_flatten(column)  # noqa: PLW2901
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                continue
            for image_id in self.all:
                hits = column.filter(pc.match_substring(column, image_id)).to_pylist()
                found |= {named for text in hits for named in self.in_text(text)}
        return found


def strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Give every string of a JSON document, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings(item)


def scan(store: ObjectStore, infos: Iterable[ObjectInfo]) -> Iterator[tuple[ObjectInfo, StoredObject]]:
    """Read objects of a listing, many at once; those that are gone meanwhile are left out."""
    for part in _batches(infos):
        for position, found in store.get_many(Get(info.key) for info in part):
            if isinstance(found, StoredObject):
                yield part[position], found
            elif not isinstance(found, ObjectNotFound):
                raise found


def _batches(infos: Iterable[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    part: list[ObjectInfo] = []
    for info in infos:
        if part and (
            len(part) == SCANNED_AT_ONCE
            or sum(each.size_bytes for each in part) + info.size_bytes > SCANNED_BYTES
        ):
            yield part
            part = []
        part.append(info)
    if part:
        yield part


@dataclass(frozen=True, slots=True)
class Mention:
    """An object that names pictures."""

    key: str
    image_ids: tuple[str, ...]


def mentions(
    store: ObjectStore, image_ids: Iterable[str], on_progress: Callable[[int], None] = lambda _: None
) -> Iterator[Mention]:
    """Find every object of the bucket that names one of these pictures; tells how many were read."""
    wanted = Ids(image_ids)
    for done, (info, found) in enumerate(scan(store, store.list()), start=1):
        on_progress(done)
        named = wanted.in_object(info.key, found.data)
        if named:
            yield Mention(info.key, tuple(sorted(named)))
