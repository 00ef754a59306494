"""A model judged by itself on pictures it has not seen: what promotion compares."""

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, to_images
from model_store.predictor import Predictor
from training.evaluate import shares, silhouette
from training.promotion import Quality

BATCH = 256


def judge(
    predictor: Predictor,
    decoder: Decoder,
    counts: NDArray[np.int64],
    pixels: NDArray[np.uint8],
    random_state: int,
) -> Quality:
    """Judge a model.

    Args:
        predictor: the model.
        decoder: its other half.
        counts: (K,) pictures per cluster when it was fitted: among few pictures a sound cluster may be empty.
        pixels: (M, S, S, 3), not used in training, decoded with the model's own preprocess.
        random_state: for the sample that the silhouette is taken of.
    """
    parts = [predictor(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    nearest = np.concatenate([part.nearest[:, 0] for part in parts])
    projections = np.concatenate([part.projections for part in parts])
    return Quality(
        reconstruction=reconstruction_error(predictor, decoder, pixels),
        silhouette=silhouette(projections, nearest, random_state),
        largest_share=float(shares(nearest, len(counts)).max()),
        n_empty=int((counts == 0).sum()),
    )


def reconstruction_error(predictor: Predictor, decoder: Decoder, pixels: NDArray[np.uint8]) -> float:
    """Give the mean squared error of pixels in [0, 1] after encoding and decoding (M, S, S, 3)."""
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            drawn = decoder.cpu()(torch.from_numpy(predictor.embed(part)))
            total += float((drawn - to_images(torch.from_numpy(part))).square().mean()) * len(part)
    return total / len(pixels)
