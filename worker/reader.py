"""Gathers one message's pictures: fetched many at a time, each decoded as soon as it is there."""

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from model_store.admission import DecodeLimits
from model_store.decode import Picture, decode
from model_store.images import ImageSource
from model_store.manifest import sha256
from model_store.object_store import StoredObject
from model_store.preprocess import Preprocess
from producer.contracts import ClassifyImages
from producer.errors import ShoalError, TransientError
from worker.pipeline import Failed, Outcome, Ready

MS: Final = 1000.0
READ_AHEAD: Final = 16  # files per decoding thread


class Reader:
    """Uploads to pixels."""

    def __init__(self, images: ImageSource, limits: DecodeLimits, decode_threads: int | None) -> None:
        """Decode up to `decode_threads` pictures at once, over all messages; None for one per core."""
        self._images = images
        self._limits = limits
        threads = decode_threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._room = threading.Semaphore(READ_AHEAD * threads)  # files in memory, read and not yet decoded

    def read(
        self, message: ClassifyImages, preprocess: Preprocess, *, stop_at_error: bool
    ) -> list[Outcome | ShoalError]:
        """Give each reference its outcome so far, in the message's order.

        An outcome is Ready, whatever makes it impossible, or an error that may pass.

        Raises:
            TransientError: with `stop_at_error`, the first one: the message will be read again anyway.
        """
        started = time.perf_counter()
        outcomes: list[Outcome | ShoalError | None] = [None] * len(message.images)
        decoding: dict[int, Future[Outcome]] = {}
        for position, found in self._images.fetch(message.images):
            if isinstance(found, StoredObject):
                fetch_ms = (time.perf_counter() - started) * MS
                self._room.acquire()
                decoding[position] = self._pool.submit(self._decode, found, preprocess, fetch_ms)
            elif isinstance(found, TransientError) and stop_at_error:
                raise found
            else:
                outcomes[position] = found
        for position, future in decoding.items():
            outcomes[position] = future.result()
        return [_told(outcome) for outcome in outcomes]

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, found: StoredObject, preprocess: Preprocess, fetch_ms: float) -> Outcome:
        started = time.perf_counter()
        try:
            picture = decode(found.data, preprocess, self._limits)
        except MemoryError:
            return Failed("internal", "the worker had not enough memory to decode this picture")
        finally:
            self._room.release()
        if not isinstance(picture, Picture):
            return picture
        decode_ms = (time.perf_counter() - started) * MS
        return Ready(picture, found.etag, sha256(found.data), fetch_ms, decode_ms)


def _told(outcome: Outcome | ShoalError | None) -> Outcome | ShoalError:
    return outcome if outcome is not None else Failed("internal", "the store gave no answer for this picture")
