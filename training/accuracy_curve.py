"""How the accuracy grows while an autoencoder is trained: labelled pictures clustered every few epochs."""

from typing import Final

import numpy as np
from sklearn.cluster import KMeans

from model_store.autoencoder import Encoder
from model_store.clusterer import unit_length
from model_store.predictor import best_device
from training.corpus import Corpus
from training.evaluate import agreement
from training.fit import embed
from training.fit_settings import FitSettings
from training.labels import MIN_LABELLED, Labels
from training.room import take

SAMPLE: Final = 1000  # labelled pictures, so that a look takes a fraction of an epoch


class AccuracyCurve:
    """A `fit_run.Measure`. Labels only measure: nothing of what it finds goes back into the training."""

    def __init__(
        self, corpus: Corpus, labels: Labels, fit: FitSettings, n_clusters: int | None, every: int
    ) -> None:
        """Choose the pictures that are looked at.

        Args:
            corpus: that is trained on.
            labels: of some of its pictures; with too few nothing is measured.
            fit: how it is trained.
            n_clusters: K; default: as many as there are labels among them.
            every: epochs between looks; the first and then every so many. A frozen encoder: the first alone.
        """
        names = corpus.names
        known = np.array([row for row, name in enumerate(names) if name in labels.by_name], np.intp)
        chosen = np.random.default_rng(fit.random_state).permutation(len(known))[:SAMPLE]
        self._rows = np.sort(known[chosen])
        self._truth = np.array([labels.by_name[names[int(row)]] for row in self._rows])
        self._n_clusters = min(n_clusters or len(np.unique(self._truth)), len(self._rows))
        self._pixels, self._every = corpus.pixels, every
        self._random_state, self._device = fit.random_state, best_device(fit.device)

    def __call__(self, epoch: int, encoder: Encoder) -> float | None:
        """Give the accuracy in [0, 1] after this epoch; None where it is not measured."""
        if len(self._rows) < MIN_LABELLED or (epoch > 1 and (epoch % self._every or _is_frozen(encoder))):
            return None
        embeddings = embed(encoder, take(self._pixels, self._rows), device=self._device)
        kmeans = KMeans(self._n_clusters, n_init=2, random_state=self._random_state)
        return agreement(self._truth, kmeans.fit_predict(unit_length(embeddings))).accuracy


def _is_frozen(encoder: Encoder) -> bool:
    return not any(weights.requires_grad for weights in encoder.parameters())
