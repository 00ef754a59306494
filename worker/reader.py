"""Gathers one message's pictures: fetched many at a time, each decoded as soon as it is there.

What is fetched and not yet decoded is bounded twice: by number, and by the bytes of the source's budget.
"""

import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from model_store.decode import Picture
from model_store.images import ImageSource
from model_store.manifest import sha256
from model_store.object_store import StoredObject
from model_store.preprocess import Preprocess
from producer.contracts import ClassifyImages
from producer.errors import ShoalError, TransientError
from worker.decoder_process import Decoded
from worker.decoders import Decoders
from worker.pipeline import Failed, Outcome, Ready

MS: Final = 1000.0
READ_AHEAD: Final = 16  # files per decoding process


@dataclass(frozen=True, slots=True)
class _Decoding:
    """A file on its way through a decoding process; its bytes are not kept here."""

    etag: str
    sha256: str
    fetch_ms: float
    answer: "Future[Decoded]"


class Reader:
    """Uploads to pixels."""

    def __init__(self, images: ImageSource, decoders: Decoders) -> None:
        self._images = images
        self._decoders = decoders
        self._room = threading.Semaphore(READ_AHEAD * decoders.count)  # files read and not yet decoded

    def read(
        self, message: ClassifyImages, preprocess: Preprocess, *, stop_at_error: bool, urgent: bool = False
    ) -> list[Outcome | ShoalError]:
        """Give each reference its outcome so far, in the message's order.

        An outcome is Ready, whatever makes it impossible, or an error that may pass. What is urgent is
        decoded next, and waits for room among neither the files nor the bytes of others.

        Raises:
            TransientError: with `stop_at_error`, the first one: the message will be read again anyway.
        """
        started = time.perf_counter()
        outcomes: list[Outcome | ShoalError | None] = [None] * len(message.images)
        decoding: dict[int, _Decoding] = {}
        with contextlib.closing(self._images.fetch(message.images, urgent=urgent)) as arriving:
            for position, found in arriving:
                if isinstance(found, StoredObject):
                    fetch_ms = (time.perf_counter() - started) * MS
                    decoding[position] = self._decode(found, preprocess, fetch_ms, urgent=urgent)
                elif isinstance(found, TransientError) and stop_at_error:
                    raise found
                else:
                    outcomes[position] = found
        for position, picture in decoding.items():
            outcomes[position] = _outcome(picture)
        return [_told(outcome) for outcome in outcomes]

    def close(self) -> None:
        """Let go of the decoding processes."""
        self._decoders.close()

    def _decode(
        self, found: StoredObject, preprocess: Preprocess, fetch_ms: float, *, urgent: bool
    ) -> _Decoding:
        let_go = partial(self._let_go, len(found.data), urgent=urgent)
        if not urgent:
            self._room.acquire()
        try:
            answer = self._decoders.submit(found.data, preprocess, urgent=urgent)
        except BaseException:
            let_go()
            raise
        answer.add_done_callback(let_go)
        return _Decoding(found.etag, sha256(found.data), fetch_ms, answer)

    def _let_go(self, size_bytes: int, _: "Future[Decoded] | None" = None, *, urgent: bool) -> None:
        if not urgent:
            self._room.release()
        budget = self._images.budget(urgent=urgent)
        if budget is not None:
            budget.give_back(size_bytes)


def _outcome(picture: _Decoding) -> Outcome | ShoalError:
    decoded = picture.answer.result()
    if isinstance(decoded.outcome, Picture):
        return Ready(decoded.outcome, picture.etag, picture.sha256, picture.fetch_ms, decoded.decode_ms)
    return decoded.outcome


def _told(outcome: Outcome | ShoalError | None) -> Outcome | ShoalError:
    return outcome if outcome is not None else Failed("internal", "the store gave no answer for this picture")
