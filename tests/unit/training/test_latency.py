import numpy as np
from numpy.typing import NDArray

from training.latency import BATCH, relative_latency

PIXELS = np.zeros((100, 4, 4, 3), np.uint8)


class Machine:
    """A clock that runs while something predicts; every third time the machine is busy with other work."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: list[tuple[str, int]] = []

    def clock(self) -> float:
        return self.now_s

    def model(self, name: str, seconds: float) -> "Model":
        return Model(self, name, seconds)


class Model:
    def __init__(self, machine: Machine, name: str, seconds: float) -> None:
        self.machine, self.name, self.seconds = machine, name, seconds

    def __call__(self, pixels: NDArray[np.uint8]) -> object:
        self.machine.calls.append((self.name, len(pixels)))
        busy = len(self.machine.calls) % 3 == 0
        self.machine.now_s += self.seconds * (20 if busy else 1)
        return None


def test_what_disturbs_now_and_then_changes_nothing() -> None:
    machine = Machine()

    ratio = relative_latency(
        machine.model("new", 0.5), machine.model("old", 0.2), PIXELS, PIXELS, machine.clock
    )

    assert abs(ratio - 2.5) < 1e-6


def test_the_models_take_turns_on_equally_many_pictures() -> None:
    machine = Machine()

    relative_latency(machine.model("new", 1), machine.model("old", 1), PIXELS, PIXELS[:50], machine.clock)

    assert [name for name, _ in machine.calls[:4]] == ["new", "old", "new", "old"]
    assert {n for _, n in machine.calls} == {min(BATCH, 50)}
