"""A model judged by itself on pictures it has not seen: what promotion compares.

Agreement with the champion alone misses a collapse: a model whose embeddings all but coincide may still file
every picture as before. Hence the figures of the embedding and of the clusters.
"""

import math
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, to_images
from model_store.clusterer import Clusterer, unit_length
from model_store.predictor import Predictor
from training.evaluate import shares, silhouette
from training.promotion import Quality

BATCH = 256


def judge(
    predictor: Predictor,
    decoder: Decoder | None,
    clusterer: Clusterer,
    pixels: NDArray[np.uint8],
    random_state: int,
    *,
    side: int | None = None,
    accuracy: float | None = None,
) -> Quality:
    """Judge a model.

    Args:
        predictor: the model.
        decoder: its other half; None if it is lost, and reconstructions cannot be judged.
        clusterer: its clusters; its counts tell which are empty, as among few pictures a sound one may be.
        pixels: (M, S, S, 3), not used in training, decoded with the model's own preprocess.
        random_state: for the sample that the silhouette is taken of.
        side: pixels to which reconstructions are brought before they are compared; default: S.
        accuracy: where it was measured on labelled pictures.
    """
    embeddings = np.concatenate([predictor.embed(np.array(part)) for part in _batches(pixels)])
    projections = clusterer.project(embeddings)
    assignment = clusterer.assign(projections)
    found = shares(assignment.indices, len(clusterer.centroids))
    rank, spread = rank_and_spread(embeddings)
    counts = clusterer.counts
    return Quality(
        reconstruction=reconstruction_error(embeddings, decoder, pixels, side or pixels.shape[1])
        if decoder is not None
        else None,
        silhouette=silhouette(projections, assignment.indices, random_state),
        largest_share=max(float(found.max()), float(counts.max() / max(1, counts.sum()))),
        n_empty=int((counts == 0).sum()),
        smallest_size=float(counts.min() / max(counts.mean(), 1e-12)),
        unexplained=unexplained(projections, assignment.distances),
        entropy=entropy(found),
        separation=separation(clusterer.centroids, assignment.distances),
        effective_rank=rank,
        spread=spread,
        accuracy=accuracy,
    )


def reconstruction_error(
    embeddings: NDArray[np.float32], decoder: Decoder, pixels: NDArray[np.uint8], side: int
) -> float:
    """Give the mean squared error of pixels in [0, 1] of pictures (M, S, S, 3) drawn from embeddings (M, D).

    Both are first brought to `side` x `side`, by averaging: fine detail is hard to draw, and a model that
    sees more of it must not look worse for it.
    """
    total = 0.0
    decoder.cpu().eval()
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            part = torch.from_numpy(np.array(pixels[start : start + BATCH]))
            difference = decoder(torch.from_numpy(embeddings[start : start + BATCH])) - to_images(part)
            coarse = torch.nn.functional.adaptive_avg_pool2d(difference, side)
            total += float(coarse.square().mean()) * len(part)
    return total / len(pixels)


def rank_and_spread(embeddings: NDArray[np.float32]) -> tuple[float, float]:
    """Give the effective rank and the variance of unit-length embeddings (M, D).

    The rank is exp of the entropy of the covariance's eigenvalues; 1 if all lie on a line.
    Source: Roy & Vetterli (2007), The effective rank.
    """
    unit = unit_length(embeddings).astype(np.float64)
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False) ** 2 / len(unit)
    total = float(values.sum())
    if total <= 1e-12:
        return 1.0, 0.0
    return float(np.exp(_entropy(values / total))), total


def unexplained(projections: NDArray[np.float32], distances: NDArray[np.float32]) -> float:
    """Give the inertia of pictures (M,) about their centroids over the variance of projections (M, P)."""
    variance = float(projections.astype(np.float64).var(axis=0).sum())
    return float(np.square(distances, dtype=np.float64).mean()) / max(variance, 1e-12)


def entropy(found: NDArray[np.float64]) -> float:
    """Give the entropy of shares (K,) in [0, 1]: 1 if all clusters are alike, and of a single one."""
    return _entropy(found) / math.log(len(found)) if len(found) > 1 else 1.0


def separation(centroids: NDArray[np.float32], distances: NDArray[np.float32]) -> float:
    """Give the least distance of two centroids (K, P) over the usual (RMS) distance from the own one.

    0 if there is only one.
    """
    least = min((float(np.linalg.norm(a - b)) for a, b in combinations(centroids, 2)), default=0.0)
    return least / max(float(np.sqrt(np.square(distances, dtype=np.float64).mean())), 1e-12)


def _entropy(found: NDArray[np.float64]) -> float:
    positive = found[found > 0]
    return float(-(positive * np.log(positive)).sum())


def _batches(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
