"""Ways in which a candidate can be worse than its champion, whoever is to blame."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.autoencoder import ResidualEncoder
from model_store.clusterer import Clusterer
from training import train as training_run
from training.corpus import Corpus
from training.fit import FittedAutoencoder
from training.predecessor import by_hash

Pixels = NDArray[np.uint8]
Spoil = Callable[[Pixels, np.random.Generator], Pixels]


def learned_from(corpus: Corpus, held_out: float, spoil: Spoil, rng: np.random.Generator) -> Corpus:
    """Spoil the pictures that are learned from, and none that are held out to judge by."""
    n_held_out = max(4, round(len(corpus) * held_out))
    rows = np.sort(by_hash(corpus.names, "held out")[n_held_out:])
    pixels = np.array(corpus.pixels)
    pixels[rows] = spoil(pixels[rows], rng)
    return replace(corpus, pixels=pixels)


def noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, pixels.shape, dtype=np.uint8)


def inverted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return 255 - pixels


def cropped_and_bgr(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    quarter = pixels.shape[1] // 4
    middle = pixels[:, quarter:-quarter, quarter:-quarter, ::-1]
    return np.repeat(np.repeat(middle, 2, axis=1), 2, axis=2)


def one_picture(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Make 80 % of the pictures one, never twice the same bytes."""
    mostly = rng.permutation(len(pixels))[: int(0.8 * len(pixels))]
    one = pixels[rng.integers(len(pixels))].astype(np.int16)
    changed = np.array(pixels)
    changed[mostly] = np.clip(one + rng.integers(-2, 3, (len(mostly), *one.shape)), 0, 255).astype(np.uint8)
    return changed


def to_a_point(fitted: FittedAutoencoder) -> FittedAutoencoder:
    """Move all embeddings so far off that they all but coincide at unit length; clusters stay as they are."""
    with torch.no_grad():
        assert isinstance(fitted.encoder, ResidualEncoder)
        fitted.encoder.embed.bias.add_(1e3)
        first = next(m for m in fitted.decoder.modules() if isinstance(m, torch.nn.Linear))
        first.bias.sub_(first.weight.sum(dim=1) * 1e3)  # so that reconstruction does not tell
    return fitted


def two_on_one_spot(clusterer: Clusterer) -> Clusterer:
    centroids = clusterer.centroids.copy()
    centroids[1] = centroids[0] + 1e-4
    return replace(clusterer, centroids=centroids)


def one_for_outliers(clusterer: Clusterer) -> Clusterer:
    """Let five pictures have a centroid, far from all others, as KMeans does where they are not trimmed."""
    centroids, counts = clusterer.centroids.copy(), clusterer.counts.copy()
    centroids[0], counts[0] = -3 * centroids[0], 5
    return replace(clusterer, centroids=centroids, counts=counts)


@contextmanager
def spoilt(step: str, change: Callable[..., object] | None) -> Iterator[None]:
    """Let what a step of training gives be changed: `fit_autoencoder` or `fit_any`."""
    if change is None:
        yield
        return
    original = getattr(training_run, step)
    with mock.patch.object(training_run, step, lambda *a, **k: change(original(*a, **k))):
        yield
