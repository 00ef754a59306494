"""Shows pictures of the ledger to two models."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from console.diff_page import SHOWN_PER_FLOW, Thumbnail
from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import Preprocess
from training.changes import Placed

if TYPE_CHECKING:
    from model_store.bundle import Bundle

BATCH: Final = 128
THUMBNAIL: Final = Preprocess(input_size=128)

Encoded = tuple[str, bytes]


@dataclass(slots=True)
class Placing:
    """Where two models put pictures, and what some of those that move look like."""

    placed: list[Placed] = field(default_factory=list)
    thumbnails: dict[str, Thumbnail] = field(default_factory=dict)


def place(
    pictures: Iterable[Encoded], before: "Bundle", after: "Bundle", limits: DecodeLimits, *, thumbnails: bool
) -> Placing:
    """Let both models say where pictures belong, each with its own preprocess.

    Args:
        pictures: names and files; those that cannot be decoded are passed over.
        before: the one model.
        after: the other.
        limits: what is decoded at all.
        thumbnails: whether to keep small copies of pictures that move.
    """
    found, drawn = Placing(), dict[tuple[str, str], int]()
    for batch in _batches(pictures):
        seen = [(item, _decoded(item[1], before, after, limits)) for item in batch]
        sound = [(item, pair) for item, pair in seen if pair is not None]
        if not sound:
            continue
        old, new = (
            _ids(model, [pair[which] for _, pair in sound]) for which, model in enumerate((before, after))
        )
        for ((name, data), _), *flow in zip(sound, old, new, strict=True):
            found.placed.append(Placed(name, *flow))
            n_drawn = drawn.get((flow[0], flow[1]), 0)
            if thumbnails and flow[0] != flow[1] and n_drawn < SHOWN_PER_FLOW:
                drawn[flow[0], flow[1]] = n_drawn + 1
                found.thumbnails[name] = _thumbnail(data, limits)
    return found


def _decoded(
    data: bytes, before: "Bundle", after: "Bundle", limits: DecodeLimits
) -> tuple[Picture, Picture] | None:
    """Decode a picture for either model; None if it cannot be."""
    first = decode(data, before.manifest.preprocess, limits)
    same = before.manifest.preprocess == after.manifest.preprocess
    second = first if same else decode(data, after.manifest.preprocess, limits)
    return (first, second) if isinstance(first, Picture) and isinstance(second, Picture) else None


def _ids(bundle: "Bundle", pictures: list[Picture]) -> list[str]:
    nearest = bundle.predict(np.stack([picture.pixels for picture in pictures])).nearest[:, 0]
    return [bundle.clusters[index].id for index in nearest]


def _thumbnail(data: bytes, limits: DecodeLimits) -> Thumbnail:
    seen = decode(data, THUMBNAIL, limits)
    if not isinstance(seen, Picture):
        raise TypeError("a picture was decoded before and is not now")
    file = io.BytesIO()
    Image.fromarray(seen.pixels).save(file, "JPEG", quality=80)
    return Thumbnail(file.getvalue(), seen.width, seen.height)


def _batches(pictures: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    rest = iter(pictures)
    while batch := list(islice(rest, BATCH)):
        yield batch
