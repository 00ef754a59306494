"""A process that decodes pictures and may die of them: `python -m worker.decode_child OPTIONS`.

It has no credentials, no sockets and none of the worker's environment, a limit on memory and one on CPU time
per picture, and it ends when its standard input does, that is with the worker, however the worker ends.
"""

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from model_store.decode import Picture, decode
from model_store.preprocess import Preprocess
from worker.decode_wire import DecoderOptions, receive, receive_head, send

Answer = tuple[list[Any], bytes]  # the frame's part for one picture, and its pixels


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which may want its batch finished
        signal.signal(number, signal.SIG_IGN)
    options = DecoderOptions.model_validate_json(sys.argv[1])
    answers = answers_alone_on_stdout()
    limit(options)
    send(answers, [])
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            _serve(sys.stdin.buffer, answers, options)


def _serve(requests: BinaryIO, answers: BinaryIO, options: DecoderOptions) -> None:
    wanted = receive_head(requests)
    files = [receive(requests, size) for size, _ in wanted]
    done = [_answer(data, _preprocess(text), options) for data, (_, text) in zip(files, wanted, strict=True)]
    send(answers, [head for head, _ in done], [pixels for _, pixels in done])


def _answer(data: bytes, preprocess: Preprocess, options: DecoderOptions) -> Answer:
    started = time.perf_counter()
    # CPU time, so that a busy or stopped machine is not held against the picture; SIGPROF ends the process
    signal.setitimer(signal.ITIMER_PROF, options.cpu_s)
    try:
        outcome = decode(data, preprocess, options.limits)
    except MemoryError:
        return [_ms_since(started), "no memory"], b""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if isinstance(outcome, Picture):
        head = [_ms_since(started), "picture", outcome.width, outcome.height, outcome.format]
        return head, outcome.pixels.tobytes()
    return [_ms_since(started), "undecodable", outcome.code, outcome.detail], b""


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


@lru_cache(256)
def _preprocess(text: str) -> Preprocess:
    return Preprocess.model_validate_json(text)


def answers_alone_on_stdout() -> BinaryIO:
    """Give the stream for answers; what C libraries print goes nowhere, Python's errors to standard error.

    One TIFF makes libtiff print hundreds of lines, which would fill the worker's log.
    """
    answers, errors = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stderr = errors
    faulthandler.enable(errors)
    return answers


def limit(options: DecoderOptions) -> None:
    """Set the limit on memory, and make this process the first to go where memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (options.memory_bytes, options.memory_bytes))
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
