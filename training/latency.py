"""How long a predict takes beside the champion's: in turns, so that a busy machine is busy for both."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.predictor import Predictor

ROUNDS: Final = 7
BATCH: Final = 64


def relative_latency(
    candidate: Predictor,
    champion: Predictor,
    candidate_pixels: NDArray[np.uint8],
    champion_pixels: NDArray[np.uint8],
) -> float:
    """Give the candidate's time over the champion's, per picture, each the shortest of several rounds.

    What disturbs a measurement only ever lengthens it: the shortest is the least disturbed.

    Args:
        candidate: the new model.
        champion: the one that serves.
        candidate_pixels: (M, S, S, 3), decoded for it; M at least 1.
        champion_pixels: the same pictures, decoded for the champion.
    """
    n = min(BATCH, len(candidate_pixels), len(champion_pixels))
    turns = ((candidate, np.array(candidate_pixels[:n])), (champion, np.array(champion_pixels[:n])))
    shortest = [np.inf, np.inf]
    for round_ in range(1 + ROUNDS):
        for which, (predictor, pixels) in enumerate(turns):
            started = time.perf_counter()
            predictor(pixels)
            if round_:  # the first warms up
                shortest[which] = min(shortest[which], time.perf_counter() - started)
    return shortest[0] / max(shortest[1], 1e-9)
