"""Python runs this first in every process that has its folder on PYTHONPATH: it notes each unpickling.

Whatever reads a pickle, in `pickle` itself, in a library, in torch or numpy, goes through the functions that
are replaced here, or raises the audit event of a class looked up, which C code cannot avoid. Each is written
to $PICKLE_WATCH, a line of JSON with the stack; the first line of a process says that it is watched.
"""

import _pickle
import json
import os
import pickle
import sys
import traceback
from typing import Any


def note(what: str) -> None:
    stack = [f"{frame.filename}:{frame.name}" for frame in traceback.extract_stack()[:-2]]
    line = json.dumps({"pid": os.getpid(), "what": what, "stack": stack})
    with open(os.environ["PICKLE_WATCH"], "a") as file:  # noqa: PTH123 - pathlib is more than a start should load
        file.write(line + "\n")


def noting(name: str, real: Any) -> Any:
    def function(*args: Any, **options: Any) -> Any:
        note(name)
        return real(*args, **options)

    return function


def noting_class(name: str, real: Any) -> type:
    def init(self: Any, *args: Any, **options: Any) -> None:
        note(name)
        real.__init__(self, *args, **options)

    return type(real.__name__, (real,), {"__init__": init})


def on_event(event: str, args: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        note(f"pickle.find_class {args[0]}.{args[1]}")


if "PICKLE_WATCH" in os.environ:
    for module in (pickle, _pickle):
        for name in ("load", "loads"):
            setattr(module, name, noting(f"pickle.{name}", getattr(module, name)))
        for name in ("Unpickler", "_Unpickler"):
            if hasattr(module, name):
                setattr(module, name, noting_class(f"pickle.{name}", getattr(module, name)))
    sys.addaudithook(on_event)
    note("watched")
