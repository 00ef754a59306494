"""Decodes what it is given and tells what came of it, how much CPU time it took, and the most memory.

`python -m tests.fuzz.child OPTIONS`; the worker's frames, one file each.
"""

import contextlib
import resource
import signal
import sys
import time
from pathlib import Path

from model_store.decode import Picture, decode
from model_store.preprocess import Preprocess
from worker.decode_child import answers_alone_on_stdout, limit
from worker.decode_wire import DecoderOptions, receive, receive_head, send

RESET_PEAK = "5"  # proc(5): written to clear_refs, it resets VmHWM


def main() -> None:
    options = DecoderOptions.model_validate_json(sys.argv[1])
    answers = answers_alone_on_stdout()
    limit(options)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            (size,) = receive_head(sys.stdin.buffer)
            send(answers, [*_tried(receive(sys.stdin.buffer, size), options)])


def _tried(data: bytes, options: DecoderOptions) -> tuple[str, float, int]:
    with contextlib.suppress(OSError):  # not Linux: the peak is the process's, not the file's
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, options.cpu_s)
    try:
        outcome = decode(data, Preprocess(), options.limits)
    except MemoryError:
        code = "no memory"
    except BaseException as error:  # noqa: BLE001 - decode promises never to raise
        code = f"raised {type(error).__name__}: {error}"
    else:
        code = "picture" if isinstance(outcome, Picture) else outcome.code
    signal.setitimer(signal.ITIMER_PROF, 0)
    return code, time.process_time() - started, _peak_bytes()


def _peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.split("VmHWM:")[1].split(maxsplit=1)[0]) * 1024


if __name__ == "__main__":
    main()
