"""One training run, from a corpus to a bundle's files: fit, cluster, calibrate, judge, pack.

```
corpus -> a tenth held out
       -> autoencoder                fit.py, recipes/
       -> PCA, KMeans, calibration   cluster.py
       -> quality on the held-out    quality.py
       -> files, manifest            pack.py; loaded once, so that the probe has answered
```
Needs neither store nor broker: the same call serves `shoal train --out`, the trainer and the tests.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model_store import bundle
from model_store.bundle import Bundle
from model_store.clusterer import Assignment, Clusterer
from model_store.layout import MANIFEST
from model_store.manifest import FileEntry, Gate, Manifest, Snapshot, libraries, new_version, sha256
from model_store.predictor import Predictor, best_device
from model_store.preprocess import Preprocess
from producer.errors import TrainingFailed
from training.checkpoint import Checkpoints
from training.cluster import MIN_PER_CLUSTER, ClusterSettings, fit_clusterer
from training.corpus import Corpus
from training.fit import FittedAutoencoder, embed, fit_autoencoder
from training.fit_settings import FitSettings
from training.identity import fresh_ids
from training.model_card import model_card
from training.pack import name_clusters, pack
from training.progress import Progress
from training.promotion import Quality
from training.quality import judge

MIN_IMAGES: Final = 20


class TrainSettings(BaseModel):
    """Everything that decides what a run makes of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: FitSettings = Field(default_factory=FitSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    held_out: float = Field(0.1, gt=0, lt=0.5, description="share of pictures for early stop and calibration")

    @property
    def preprocess(self) -> Preprocess:
        """How pictures must be decoded for this run."""
        return Preprocess(input_size=self.fit.architecture.input_size)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: a bundle's files, and what reports are drawn from."""

    manifest: Manifest
    files: dict[str, bytes]  # all but manifest.json
    fitted: FittedAutoencoder
    clusterer: Clusterer
    quality: Quality
    held_out: NDArray[np.intp]  # rows of the corpus
    assignment: Assignment  # of every row

    def with_gates(self, gates: Sequence[Gate]) -> "Trained":
        """Put the verdict into the manifest."""
        return replace(self, manifest=self.manifest.model_copy(update={"gates": tuple(gates)}))

    def load(self, device: str = "cpu") -> Bundle:
        """Build the model from its files, as a worker would.

        Raises:
            BundleInvalid: it does not answer its probe.
        """
        data = self.manifest.to_bytes()
        return bundle.load_bundle(data, self.files, sha256(data), device)

    def all_files(self) -> dict[str, bytes]:
        """Give the bundle as a folder holds it, with `manifest.json`."""
        return {**self.files, MANIFEST: self.manifest.to_bytes()}


class _Split(NamedTuple):
    rows: NDArray[np.intp]
    held_out: NDArray[np.intp]


def train(
    corpus: Corpus,
    settings: TrainSettings,
    progress: Progress,
    *,
    source: str,
    collection: str = "default",
    parent: str | None = None,
    version: str | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Make a model of a corpus.

    Args:
        corpus: decoded with `settings.preprocess`.
        settings: of the run.
        progress: told how far it is.
        source: folder, npy or ledger; kept in the manifest.
        collection: which the model is for.
        parent: version of the champion that it may succeed.
        version: its name; by default one that chance makes.
        checkpoints: where the fit leaves its state, and finds that of an earlier attempt.

    Raises:
        TrainingFailed: too few pictures, or the loss is no longer finite.
        BundleInvalid: the finished model does not answer its own probe.
    """
    started = time.monotonic()
    split = _split(len(corpus.pixels), settings)
    fitted = _fit(corpus, split, settings, progress, checkpoints)
    device = best_device(settings.fit.device)
    progress.stage("cluster")
    embeddings = embed(fitted.encoder, corpus.pixels, device=device)  # (N, D)
    clusterer = fit_clusterer(
        embeddings[split.rows], embeddings[split.held_out], settings.cluster, settings.fit.random_state
    )
    projections = clusterer.project(embeddings)  # (N, P)
    assignment = clusterer.assign(projections)
    clusters = name_clusters(fresh_ids(len(clusterer.centroids)), assignment, corpus.names)
    progress.stage("check")
    predictor = Predictor(fitted.encoder, clusterer, device)
    quality = judge(
        predictor, fitted.decoder, clusterer.counts, corpus.pixels[split.held_out], settings.fit.random_state
    )
    files = pack(
        decoder=fitted.decoder,
        encoder=fitted.encoder,
        clusterer=clusterer,
        predictor=predictor,
        pixels=corpus.pixels,
        projections=projections,
        clusters=clusters,
        held_out=split.held_out,
    )
    version, snapshot = version or new_version(), _snapshot(corpus, source)
    metrics = quality.as_metrics() | {"epochs": len(fitted.history), "train_s": time.monotonic() - started}
    card = model_card(
        version=version,
        recipe=settings.fit.recipe,
        architecture=settings.fit.architecture,
        snapshot=snapshot,
        metrics=metrics,
        clusters=clusters,
        counts=clusterer.counts.tolist(),
    )
    files[bundle.MODEL_CARD] = card.encode()
    manifest = Manifest(
        version=version,
        collection=collection,
        created_at=datetime.now(UTC),
        recipe=settings.fit.recipe,
        architecture=settings.fit.architecture,
        preprocess=settings.preprocess,
        embedding_dim=embeddings.shape[1],
        n_components=len(clusterer.components),
        n_clusters=len(clusterer.centroids),
        random_state=settings.fit.random_state,
        libraries=libraries(),
        parent=parent,
        snapshot=snapshot,
        metrics=metrics,
        probe_tolerance=bundle.PROBE_TOLERANCE,
        files={name: FileEntry(sha256=sha256(data), size_bytes=len(data)) for name, data in files.items()},
    )
    trained = Trained(manifest, files, fitted, clusterer, quality, split.held_out, assignment)
    trained.load(device)
    return trained


def _split(n: int, settings: TrainSettings) -> _Split:
    """Divide n rows by chance, the same way for the same seed: rows to fit, rows held out."""
    n_clusters = settings.cluster.n_clusters
    least = max(MIN_IMAGES, math.ceil(n_clusters * MIN_PER_CLUSTER / (1 - settings.held_out)) + 1)
    if n < least:
        raise TrainingFailed(
            f"{n} pictures are too few for {n_clusters} clusters: it takes {least}, or fewer clusters "
            "(--n-clusters)"
        )
    order = np.random.default_rng(settings.fit.random_state).permutation(n)
    n_held_out = max(4, round(n * settings.held_out))
    return _Split(np.sort(order[n_held_out:]), np.sort(order[:n_held_out]))


def _fit(
    corpus: Corpus,
    split: _Split,
    settings: TrainSettings,
    progress: Progress,
    checkpoints: Checkpoints | None,
) -> FittedAutoencoder:
    progress.stage("train")
    fitted = fit_autoencoder(
        corpus.pixels,
        corpus.pixels,
        settings.fit,
        rows=split.rows,
        validation_rows=split.held_out,
        on_step=progress.advance,
        checkpoints=checkpoints,
        purpose=corpus.digest,
    )
    last = fitted.history[-1]
    progress.note(
        f"{last.epoch} epochs in {fitted.seconds:.1f} s on {fitted.device}"
        f"{', stopped on a plateau' if fitted.stopped_early else ''}; "
        f"validation loss {last.validation['total']:.4f}"
    )
    return fitted


def _snapshot(corpus: Corpus, source: str) -> Snapshot:
    return Snapshot(
        source=source,
        digest=corpus.digest,
        n_images=len(corpus.pixels),
        n_rejected=corpus.n_rejected,
        n_duplicates=corpus.n_duplicates,
        n_near_duplicates=corpus.n_near_duplicates,
    )
