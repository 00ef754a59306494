"""Taking pictures out of what is kept of many: rows of Parquet, entries of JSON. Pure.

What stays is as it was; the answer is None where nothing sensible would be left.
"""

import contextlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_store.job_part import decode, without
from model_store.layout import job_of_part
from model_store.mentions import Ids
from producer.errors import StoreUnavailable

IMAGE_ID: Final = "image_id"
ERASED: Final = "[erased]"
_GONE: Final = object()


class _NothingLeft(Exception):
    """The document is about erased pictures only, or in a form that nothing can be taken out of."""


@dataclass(slots=True)
class Forgotten:
    """What is left of an object (None: nothing), how many places were removed, and originals they named."""

    data: bytes | None
    places: int = 0
    originals: set[tuple[str, str]] = field(default_factory=set)  # (bucket, key)


def forget(key: str, data: bytes, ids: Ids) -> Forgotten | None:
    """Take pictures out of one object; None if it does not name them.

    An object of an unknown kind that names them is dropped whole.
    """
    if job_of_part(key) is not None:
        with contextlib.suppress(StoreUnavailable):  # of another form: treated as any other object
            return _from_job_part(key, data, ids)
    if key.endswith(".parquet"):
        found = _from_parquet(data, ids)
        if found is not None:
            return found
    if not ids.in_object(key, data):
        return None
    if key.endswith(".json"):
        return _from_json(data, ids)
    return Forgotten(None, 1)


def _from_job_part(key: str, data: bytes, ids: Ids) -> Forgotten | None:
    """Leave an empty row: a part without one would count as not done."""
    part, places, originals = without(decode(data, key), sorted(ids.all))
    return Forgotten(part.encode(), places, originals) if places else None


def _from_parquet(data: bytes, ids: Ids) -> Forgotten | None:
    file = pq.ParquetFile(io.BytesIO(data))
    if IMAGE_ID not in file.schema_arrow.names:
        return None
    column = file.read(columns=[IMAGE_ID])[IMAGE_ID]
    erased = pc.is_in(column, value_set=pa.array(sorted(ids.all), column.type))
    places = pc.sum(erased).as_py() or 0
    if not places:
        return None
    table = file.read()
    gone, rest = table.filter(erased), table.filter(pc.invert(erased))
    originals = _originals(gone.to_pylist())
    if not len(rest):
        return Forgotten(None, places, originals)
    buffer = io.BytesIO()
    pq.write_table(rest, buffer, compression="zstd")
    return Forgotten(buffer.getvalue(), places, originals)


def _from_json(data: bytes, ids: Ids) -> Forgotten:
    done = Forgotten(None)
    try:
        left = _without(json.loads(data), ids, done)
    except (ValueError, _NothingLeft):
        left = _GONE
    if left is not _GONE:
        done.data = json.dumps(left, indent=1).encode()
    done.places = max(1, done.places)
    return done


def _without(value: Any, ids: Ids, done: Forgotten) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return _without_text(value, ids, done)
    if isinstance(value, list):
        items = (_without(item, ids, done) for item in value)
        return [item for item in items if item is not _GONE]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get(IMAGE_ID), str) and value[IMAGE_ID] in ids.all:
        done.places += 1
        done.originals |= _originals([value])
        return _GONE
    left: dict[str, Any] = {}
    for name, item in value.items():
        if name in ids.all:
            done.places += 1
            continue
        kept = _without(item, ids, done)
        left[name] = None if kept is _GONE else kept
    if value.get("images") and left["images"] == []:  # a message of erased pictures only
        raise _NothingLeft
    return left


def _without_text(text: str, ids: Ids, done: Forgotten) -> Any:  # noqa: ANN401 - or _GONE
    if text in ids.all:
        done.places += 1
        return _GONE
    if ids.in_encoded(text):
        done.places += 1
        raise _NothingLeft
    left, n = ids.pattern.subn(ERASED, text)
    done.places += n
    return left


def _originals(rows: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["bucket"], row["key"]) for row in rows if row.get("bucket") and row.get("key")}
