"""How long a predict takes beside the champion's: in turns, so that a busy machine is busy for both."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[np.uint8]], object]

ROUNDS: Final = 25
BATCH: Final = 64


def relative_latency(
    candidate: Predict,
    champion: Predict,
    candidate_pixels: NDArray[np.uint8],
    champion_pixels: NDArray[np.uint8],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Give the candidate's time over the champion's, per picture, each the shortest of several rounds.

    What disturbs a measurement only ever lengthens it: the shortest is the least disturbed.

    Args:
        candidate: the new model.
        champion: the one that serves.
        candidate_pixels: (M, S, S, 3), decoded for it; M at least 1.
        champion_pixels: the same pictures, decoded for the champion.
        clock: gives seconds.
    """
    n = min(BATCH, len(candidate_pixels), len(champion_pixels))
    turns = ((candidate, np.array(candidate_pixels[:n])), (champion, np.array(champion_pixels[:n])))
    shortest = [np.inf, np.inf]
    for round_ in range(1 + ROUNDS):
        for which, (predictor, pixels) in enumerate(turns):
            started = clock()
            predictor(pixels)
            if round_:  # the first warms up
                shortest[which] = min(shortest[which], clock() - started)
    return shortest[0] / max(shortest[1], 1e-9)
