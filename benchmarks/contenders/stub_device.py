"""A stand-in for a fast device: sleeps for as long as it would compute, and answers what the model first did.

`python -m benchmarks.contenders.stub_device RATE` is `shoal worker` on such a device.
"""

import sys
import time
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from model_store import bundle
from model_store.bundle import Bundle
from model_store.predictor import Prediction


class StubDevice:
    """Takes a `rate`th of a second per picture, and gives each the same answer."""

    def __init__(self, model: Bundle, rate: float) -> None:
        side = model.manifest.preprocess.input_size
        self._rate = rate
        self._known = model.predict(np.zeros((1, side, side, 3), np.uint8))

    def __call__(self, pixels: NDArray[np.uint8]) -> Prediction:
        time.sleep(len(pixels) / self._rate)
        rows = np.zeros(len(pixels), np.intp)
        return Prediction(**{f.name: getattr(self._known, f.name)[rows] for f in fields(Prediction)})


def on_stub(model: Bundle, rate: float) -> Bundle:
    """Put a model that has answered its probe on such a device."""
    return replace(model, predictor=StubDevice(model, rate))  # type: ignore[arg-type]


def main() -> None:
    """Run a worker whose models sleep."""
    from console.cli import main as shoal  # noqa: PLC0415 - contenders do without

    rate, load = float(sys.argv[1]), bundle.load_bundle
    bundle.load_bundle = lambda *args: on_stub(load(*args), rate)
    sys.argv = ["shoal", "worker"]
    shoal()


if __name__ == "__main__":
    main()
