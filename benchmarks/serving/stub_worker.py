"""`python -m benchmarks.serving.stub_worker worker`: the real worker, whose device sleeps instead.

`STUB_S` is for how many seconds, each pass. Everything else is the real code in the real process.
"""

import os
import time
from concurrent.futures import Future
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

import console.cli
from model_store.predictor import Prediction
from worker.batcher import Answer, Batcher, Model

PASS_S = float(os.environ.pop("STUB_S"))
submit = Batcher.submit


class Sleeper:
    """Gives every picture what a model says to one."""

    def __init__(self, model: Model) -> None:
        """Ask it once."""
        self._model = model
        self._one: Prediction | None = None

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Sleep."""
        one = self._one = self._one or self._model.predict(pixels[:1])
        time.sleep(PASS_S)
        return Prediction(
            **{f.name: np.repeat(getattr(one, f.name), len(pixels), axis=0) for f in fields(one)}
        )


sleepers: dict[int, Sleeper] = {}  # one for each model: a batch is of one


def asleep(
    self: Batcher, model: Model, pixels: NDArray[np.uint8], *, urgent: bool = False
) -> "Future[Answer]":
    """Queue pictures for a device that sleeps."""
    return submit(self, sleepers.setdefault(id(model), Sleeper(model)), pixels, urgent=urgent)


Batcher.submit = asleep  # type: ignore[method-assign]

if __name__ == "__main__":
    console.cli.main()
