"""Collections of drawn pictures of a few kinds, and models trained on them in about a second."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.bundle import load_decoder
from model_store.bundle_files import DECODER, REFERENCE
from model_store.preprocess import Preprocess, to_pixels
from training.corpus import Corpus
from training.predecessor import Predecessor, view
from training.progress import Silent
from training.train import Trained, train
from training.train_settings import TrainSettings

SIDE = 64
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 70, 230), (230, 210, 50), (200, 60, 210), (60, 210, 220))


@dataclass(frozen=True)
class Pictures:
    """Drawn pictures by name; decoded at any size."""

    names: tuple[str, ...]
    kinds: NDArray[np.int64]

    def corpus(self, input_size: int = 32) -> Corpus:
        rows = [
            to_pixels(Image.fromarray(draw(int(kind), name)), Preprocess(input_size=input_size))
            for kind, name in zip(self.kinds, self.names, strict=True)
        ]
        return Corpus(np.stack(rows), self.names, digest="d" * 64)


def pictures(kinds: Sequence[int], n_each: int = 40) -> Pictures:
    """Draw `n_each` of each kind; the same kind gives the same pictures."""
    names = tuple(f"{kind}-{nth}" for nth in range(n_each) for kind in kinds)
    return Pictures(names, np.array([int(name.split("-")[0]) for name in names]))


def draw(kind: int, name: str) -> NDArray[np.uint8]:
    """Draw noise with a patch whose place and colour are of the kind, shaken a little."""
    rng = np.random.default_rng([kind, *name.encode()])
    pixels = rng.integers(0, 70, (SIDE, SIDE, 3)).astype(np.int16)
    top, left = (SIDE // 2) * (kind % 2), (SIDE // 3) * (kind // 2)
    top, left = top + int(rng.integers(-2, 3)) + 2, left + int(rng.integers(-2, 3)) + 2
    pixels[top : top + 28, left : left + 20] += np.array(COLOURS[kind]) - 60
    return np.clip(pixels, 0, 255).astype(np.uint8)


def settings(seed: int = 0, n_clusters: int = 4, steps: int = 40, **fit: object) -> TrainSettings:
    chosen = {
        "recipe": "pixel",
        "architecture": {"widths": (4, 8), "embedding_dim": 12},
        "min_steps": steps,
        "max_steps": steps,
        "batch_size": 32,
        "learning_rate": 5e-3,
        "random_state": seed,
        "device": "cpu",
        **fit,
    }
    cluster = {"n_clusters": n_clusters, "n_components": 8, "n_init": 3}
    return TrainSettings.model_validate({"fit": chosen, "cluster": cluster})


def seen_by(champion: Trained, shown: Pictures) -> Predecessor:
    """Show a champion pictures, decoded as it wants them."""
    bundle = champion.load()
    decoder = load_decoder(bundle.manifest, champion.files[DECODER])
    own = shown.corpus(bundle.manifest.preprocess.input_size)
    return view(bundle, decoder, champion.files[REFERENCE], shown.names, own)


def trained(shown: Pictures, chosen: TrainSettings, champion: Trained | None = None) -> Trained:
    predecessor = seen_by(champion, shown) if champion else None
    corpus = shown.corpus(chosen.preprocess.input_size)
    return train(corpus, chosen, Silent(), source="npy", predecessor=predecessor)
