"""`python -m tests.system.faults.failpoints worker`: a worker with a fault of its own, by environment.

```
FAULT_KILL_AT=predict:3       SIGKILL when it passes `predict` for the third time
FAULT_POISON=<sha256>         SIGKILL when it decodes the picture with these bytes
FAULT_SLOW=6                  every pass of the device takes so many seconds longer
FAULT_CLOCK_AHEAD=7200        its clock is wrong by so many seconds
```

The real code runs in the real process; only the named place is wrapped. Nothing of this is in the product.
"""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import console.cli
from model_store.images import ImageSource
from model_store.results import Results
from producer.leases import Leases
from worker.batcher import Batcher
from worker.decoders import Decoders

# point -> what is wrapped, and whether the process dies before or after it
POINTS: dict[str, tuple[Any, str, str]] = {
    "reserve": (Leases, "hold", "before"),
    "fetch": (ImageSource, "fetch", "after"),
    "decode": (Decoders, "submit", "after"),
    "predict": (Batcher, "submit", "after"),
    "put": (Results, "save", "after"),
    "acknowledge": (Leases, "release", "before"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


def kill_at(point: str, nth: int) -> None:
    """Wrap the point: the nth pass is the last thing that this process does."""
    owner, name, moment = POINTS[point]
    lock, passes = threading.Lock(), [0]

    def around(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with lock:
            passes[0] += 1
            last = passes[0] == nth
        if last and moment == "before":
            die()
        outcome = original(*args, **kwargs)
        if last:
            if isinstance(outcome, Iterator):
                next(outcome, None)
            elif hasattr(outcome, "result"):
                outcome.result(60)
            die()
        return outcome

    wrap(owner, name, around)


def poison(digest: str) -> None:
    def around(original: Callable[..., Any], decoders: Decoders, data: bytes, *args: Any, **more: Any) -> Any:
        if hashlib.sha256(data).hexdigest() == digest:
            die()  # the worker itself, not the process that decodes for it
        return original(decoders, data, *args, **more)

    wrap(Decoders, "submit", around)


def slow(seconds: float) -> None:
    def around(original: Callable[..., Any], *args: Any) -> Any:
        time.sleep(seconds)
        return original(*args)

    wrap(Batcher, "_answer", around)


def main() -> None:
    wish = os.environ.get
    if point := wish("FAULT_KILL_AT"):
        kill_at(point.partition(":")[0], int(point.partition(":")[2]))
    if digest := wish("FAULT_POISON"):
        poison(digest)
    if seconds := wish("FAULT_SLOW"):
        slow(float(seconds))
    if ahead := wish("FAULT_CLOCK_AHEAD"):
        true_time, shift_s = time.time, float(ahead)
        time.time = lambda: true_time() + shift_s
    console.cli.main()


if __name__ == "__main__":
    main()
