"""Decodes pictures in processes that may die: one that takes its process with it fails, and it alone.

```
submit ─▶ queue ─▶ a thread per process takes what waits, up to a batch ─▶ decode_child.py
                     the process died: each picture of the batch is tried once more, alone, in a new one
```

Batches form as on the device, by never waiting: one picture when idle, MAX_BATCH of them under load. What is
urgent goes first, and does not wait for others in its own batch.
"""

import math
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import structlog

from model_store.admission import DecodeLimits
from model_store.preprocess import Preprocess
from worker.decode_wire import DecoderOptions
from worker.decoder_process import NO_MEMORY, Decoded, DecoderDied, DecoderProcess, DecoderUnavailable
from worker.pipeline import Failed
from worker.two_lines import TwoLines

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 16
MAX_BATCH_BYTES: Final = 1 << 20  # a single larger file is a batch of its own
BASE_BYTES: Final = 256 << 20  # the interpreter takes 80 MB; a batch, once more for what is kept of it
BYTES_PER_PIXEL: Final = 32  # most measured, over all formats: 20


def enough_memory(limits: DecodeLimits, max_image_bytes: int) -> int:
    """Give what one process may need, with room to spare: a codec that finds none calls the file damaged."""
    return BASE_BYTES + BYTES_PER_PIXEL * limits.max_pixels + 4 * max_image_bytes


@dataclass(frozen=True, slots=True)
class _Job:
    data: bytes
    preprocess: Preprocess
    answer: "Future[Decoded]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Decoders:
    """A few decoding processes. Thread-safe."""

    def __init__(
        self, limits: DecodeLimits, processes: int | None, *, cpu_s: float, memory_bytes: int
    ) -> None:
        """Start `processes` of them, one per core if None.

        Args:
            limits: what is decoded at all.
            processes: pictures decoded at once.
            cpu_s: CPU time for one picture; a process that takes longer is ended.
            memory_bytes: for one process; a picture that needs more is `failed`.
        """
        self.count = processes or os.cpu_count() or 1
        self._options = DecoderOptions(limits=limits, cpu_s=cpu_s, memory_bytes=memory_bytes)
        self._changed = threading.Condition()
        self._lines: TwoLines[_Job] = TwoLines()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"decode-{i}", daemon=True) for i in range(self.count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, data: bytes, preprocess: Preprocess, *, urgent: bool = False) -> "Future[Decoded]":
        """Queue one file; the future never fails for what the file does."""
        job = _Job(data, preprocess)
        with self._changed:
            if self._closed:
                raise RuntimeError("the decoders are closed")
            self._lines.join(job, urgent=urgent)
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Finish the batches in hand, cancel what waits, end the processes."""
        with self._changed:
            self._closed = True
            for queue in (self._lines.urgent, self._lines.bulk):
                while queue:
                    queue.popleft().answer.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        decoder = DecoderProcess(self._options)
        try:
            while batch := self._take():
                self._answer(decoder, batch)
        finally:
            decoder.close()

    def _take(self) -> list[_Job]:
        """Take this process's share of what waits; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._lines) or self._closed)
            queue = self._lines.next_line()
            share = min(MAX_BATCH, math.ceil(len(queue) / self.count))
            batch: list[_Job] = []
            room = MAX_BATCH_BYTES
            while len(batch) < share:
                room -= len(queue[0].data)
                if room < 0 and batch:
                    break
                batch.append(queue.popleft())
            return batch

    def _answer(self, decoder: DecoderProcess, batch: list[_Job]) -> None:
        try:
            answers = self._together(decoder, batch)
        except Exception as error:  # the thread must live, and the message must hear of it
            log.exception("decoding failed in an unforeseen way", pictures=len(batch))
            for job in batch:
                job.answer.set_exception(error)
            return
        for job, answer in zip(batch, answers, strict=True):
            job.answer.set_result(answer)

    def _together(self, decoder: DecoderProcess, batch: list[_Job]) -> list[Decoded]:
        try:
            return decoder.decode([(job.data, job.preprocess) for job in batch])
        except DecoderDied as death:
            log.warning("a decoding process died, its pictures are tried alone", how=str(death), n=len(batch))
            return [self._alone(decoder, job) for job in batch]
        except DecoderUnavailable as error:
            return [Decoded(error)] * len(batch)
        except MemoryError:
            return [Decoded(NO_MEMORY)] * len(batch)

    @staticmethod
    def _alone(decoder: DecoderProcess, job: _Job) -> Decoded:
        try:
            return decoder.decode([(job.data, job.preprocess)])[0]
        except DecoderDied as death:
            if death.killed:  # its own limits end it otherwise; it may go well where there is more memory
                return Decoded(DecoderUnavailable(f"the process to decode pictures in is killed: {death}"))
            log.error("a picture kills its decoding process", how=str(death), size_bytes=len(job.data))  # noqa: TRY400 - the trace says nothing
            return Decoded(Failed("internal", f"decoding this picture ended the process it ran in: {death}"))
        except DecoderUnavailable as error:
            return Decoded(error)
        except MemoryError:
            return Decoded(NO_MEMORY)
