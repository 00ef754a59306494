"""One decoding process as the worker sees it: asked for a batch, answers all of it or dies."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from model_store.admission import Undecodable
from model_store.decode import Picture
from model_store.preprocess import Preprocess
from producer.errors import TransientError
from worker.decode_wire import DecoderOptions, receive, receive_head, send
from worker.pipeline import Failed

STARTS: Final = 2  # before it counts as unavailable
END_TIMEOUT_S: Final = 2.0  # of a process that was told to end
NO_MEMORY: Final = Failed("internal", "the worker had not enough memory to decode this picture")


class DecoderUnavailable(TransientError):
    """No decoding process can be started."""


class DecoderDied(Exception):
    """The process ended, or talked nonsense, while it had pictures in hand; the message says how."""

    def __init__(self, how: str, *, killed: bool = False) -> None:
        """Say how; `killed` by somebody else, such as a system short of memory, and not by a picture."""
        super().__init__(how)
        self.killed = killed


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one file."""

    outcome: Picture | Undecodable | Failed | DecoderUnavailable
    decode_ms: float = 0.0


class DecoderProcess:
    """Starts `decode_child.py`, and starts it again after it died. For one thread at a time."""

    def __init__(self, options: DecoderOptions) -> None:
        """Begin to start it, without waiting."""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._begin()

    def decode(self, batch: Sequence[tuple[bytes, Preprocess]]) -> list[Decoded]:
        """Decode files, in their order.

        Raises:
            DecoderDied: nothing is known about any of them.
            DecoderUnavailable: it cannot be started; no picture was tried.
        """
        process = self._started()
        requests, answers = _pipes(process)
        try:
            send(requests, [[len(data), p.model_dump_json()] for data, p in batch], [d for d, _ in batch])
            heads = receive_head(answers)
            return [_decoded(head, p, answers) for head, (_, p) in zip(heads, batch, strict=True)]
        except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
            raise self._death(process) from error
        except BaseException:  # memory ran out here: what is left in the pipes belongs to no request
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in _pipes(process):
            with contextlib.suppress(BrokenPipeError):  # what was not sent is not needed
                pipe.close()

    def _begin(self) -> None:
        # the worker's environment holds secrets, and these processes read what strangers sent
        env = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        command = [sys.executable, "-P", "-m", "worker.decode_child", self._options.model_dump_json()]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**env, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError:
            self._process = None  # told when a picture needs it

    def _started(self) -> "subprocess.Popen[bytes]":
        how = "the system refuses a new process"
        for _ in range(STARTS):
            if self._process is None:
                self._begin()
            if self._process is None or self._ready:
                break
            try:
                receive_head(_pipes(self._process)[1])
                self._ready = True
            except (OSError, EOFError, ValueError):
                how = str(self._death(self._process))
        if self._process is None:
            raise DecoderUnavailable(f"the process to decode pictures in does not start: {how}")
        return self._process

    def _death(self, process: "subprocess.Popen[bytes]") -> DecoderDied:
        try:
            status = process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = None
        self.close()
        if status is None:
            return DecoderDied("it gave an answer that makes no sense")
        if status == -signal.SIGPROF:
            return DecoderDied(f"it took over {self._options.cpu_s:g} s of CPU time")
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return DecoderDied(f"it ended with {how}", killed=status == -signal.SIGKILL)


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("started without pipes")
    return process.stdin, process.stdout  # type: ignore[return-value]


def _decoded(head: list[Any], preprocess: Preprocess, answers: BinaryIO) -> Decoded:
    decode_ms, kind, *told = head
    if kind == "picture":
        side = preprocess.input_size
        pixels = np.frombuffer(bytearray(receive(answers, side * side * 3)), np.uint8)
        width, height, name = told
        return Decoded(Picture(pixels.reshape(side, side, 3), width, height, name), decode_ms)
    if kind == "undecodable":
        code, detail = told
        return Decoded(Undecodable(code, detail), decode_ms)
    return Decoded(NO_MEMORY, decode_ms)
