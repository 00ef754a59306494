"""One training run, from a corpus to a bundle's files: fit, cluster, calibrate, judge, pack.

```
corpus -> a tenth held out
       -> autoencoder                fit.py, recipes/
       -> PCA, KMeans, calibration   cluster.py, without what lies far from all that the champion knows
       -> ids, lineage               identity.py
       -> quality on the held-out    quality.py
       -> files, manifest            pack.py; loaded once, so that the probe has answered
```
Needs neither store nor broker: the same call serves `shoal train --out`, the trainer and the tests.
"""

import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from model_store.autoencoder import Decoder, Encoder
from model_store.bundle_files import MODEL_CARD, PROBE_TOLERANCE, listed
from model_store.counted import counted
from model_store.manifest import Manifest, libraries, new_version
from model_store.predictor import Predictor, best_device
from training.accuracy_curve import AccuracyCurve
from training.checkpoint import Checkpoints
from training.choice_of_k import settled
from training.corpus import Corpus
from training.course import COURSE, Course
from training.fit import FittedAutoencoder, embed, fit_autoencoder
from training.labels import Labels
from training.lineage import identify
from training.model_card import model_card
from training.pack import name_clusters, pack
from training.predecessor import Predecessor
from training.progress import Progress
from training.quality import judge
from training.room import take
from training.split import Split, divide
from training.streamed_cluster import assign_parts, fit_any, project_parts, strangeness_parts
from training.train_settings import TrainSettings
from training.trained import Trained

__all__ = ["TrainSettings", "Trained", "train"]


def train(
    corpus: Corpus,
    settings: TrainSettings,
    progress: Progress,
    *,
    source: str,
    collection: str = "default",
    parent: str | None = None,
    predecessor: Predecessor | None = None,
    taken: Collection[str] = (),
    version: str | None = None,
    checkpoints: Checkpoints | None = None,
    workdir: Path | None = None,
) -> Trained:
    """Make a model of a corpus.

    Args:
        corpus: decoded with `settings.preprocess`.
        settings: of the run.
        progress: told how far it is.
        source: folder, npy or ledger; kept in the manifest.
        collection: which the model is for.
        parent: version of the champion that it may succeed.
        predecessor: that champion, where it can be compared with, and its view of the corpus.
        taken: ids of clusters that earlier models had.
        version: its name; by default one that chance makes.
        checkpoints: where the fit leaves its state, and finds that of an earlier attempt.
        workdir: for what is too large for memory; the system's folder for temporary files if None.

    Raises:
        TrainingFailed: too few pictures, or the loss is no longer finite.
        BundleInvalid: the finished model does not answer its own probe.
    """
    started = time.monotonic()
    labels = Labels.read(settings.labels_file)
    split = divide(corpus.names, settings.cluster.least_n_clusters, settings.held_out, corpus.pixels.shape[1])
    start = predecessor.weights(settings.fit) if predecessor else None
    purpose = f"{corpus.digest} {settings.held_out} {parent if start else ''}"
    fitted = _fit(corpus, split, settings, progress, start, checkpoints, purpose, workdir, labels)
    device = best_device(settings.fit.device)
    progress.stage("encode", len(corpus))
    embeddings = embed(
        fitted.encoder, corpus.pixels, device=device, folder=workdir, progress=progress
    )  # (N, D)
    progress.stage("cluster")
    rows = split.rows if predecessor is None else predecessor.trimmed(split.rows, settings.max_trimmed)
    champions = len(predecessor.ids) if predecessor else None
    cluster, choice = settled(embeddings, settings.cluster, settings.fit.random_state, champions, rows=rows)
    if choice is not None:
        where = ". The curve is in the report, under How many clusters" if settings.report.enabled else ""
        progress.note(choice.told + where)
    clusterer = fit_any(
        embeddings,
        rows,
        split.held_out,
        cluster,
        settings.fit.random_state,
        predecessor.labels if predecessor else None,
        folder=workdir,
    )
    projections = project_parts(clusterer, embeddings, workdir)  # (N, P)
    assignment = assign_parts(clusterer, projections)
    strangeness = strangeness_parts(clusterer, embeddings, projections, assignment)
    matched, moved = identify(
        predecessor, corpus.names, assignment.indices, clusterer.counts, settings.identity, taken
    )
    clusters = name_clusters(matched, assignment, corpus.names)
    progress.stage("check")
    predictor = Predictor(fitted.encoder, clusterer, device)
    quality = judge(
        predictor,
        fitted.decoder,
        clusterer,
        take(corpus.pixels, split.judged),
        settings.fit.random_state,
        side=min(settings.preprocess.input_size, predecessor.side) if predecessor else None,
        accuracy=labels.accuracy(corpus.names, assignment.indices),
    )
    files = pack(
        decoder=fitted.decoder,
        encoder=fitted.encoder,
        clusterer=clusterer,
        predictor=predictor,
        pixels=corpus.pixels,
        projections=projections,
        clusters=clusters,
        names=corpus.names,
        held_out=split.held_out,
    )
    version, snapshot = version or new_version(), corpus.snapshot(source)
    train_s = fitted.earlier_s + time.monotonic() - started
    metrics = quality.as_metrics() | {"epochs": len(fitted.history), "train_s": train_s}
    if fitted.resumed_at:
        metrics["resumed_at_step"] = fitted.resumed_at
    card = model_card(
        version=version,
        recipe=settings.fit.recipe,
        architecture=settings.fit.network,
        snapshot=snapshot,
        metrics=metrics,
        clusters=clusters,
        counts=clusterer.counts.tolist(),
    )
    files[MODEL_CARD] = card.encode()
    files[COURSE] = Course.of(fitted, choice).to_bytes()
    manifest = Manifest(
        version=version,
        collection=collection,
        created_at=datetime.now(UTC),
        recipe=settings.fit.recipe,
        architecture=settings.fit.network,
        preprocess=settings.preprocess,
        embedding_dim=embeddings.shape[1],
        n_components=len(clusterer.components),
        n_clusters=len(clusterer.centroids),
        random_state=settings.fit.random_state,
        libraries=libraries(),
        parent=parent,
        snapshot=snapshot,
        metrics=metrics,
        probe_tolerance=PROBE_TOLERANCE,
        files=listed(files),
    )
    trained = Trained(
        manifest,
        files,
        fitted,
        clusterer,
        quality,
        split.held_out,
        split.judged,
        assignment,
        strangeness,
        matched,
        moved,
    )
    trained.load(device)
    return trained


def _fit(
    corpus: Corpus,
    split: Split,
    settings: TrainSettings,
    progress: Progress,
    start: tuple[Encoder, Decoder] | None,
    checkpoints: Checkpoints | None,
    purpose: str,
    workdir: Path | None,
    labels: Labels,
) -> FittedAutoencoder:
    given = None if settings.cluster.n_clusters == "auto" else settings.cluster.n_clusters
    measure = AccuracyCurve(corpus, labels, settings.fit, given, settings.report.accuracy_every)
    fitted = fit_autoencoder(
        corpus.pixels,
        corpus.pixels,
        settings.fit,
        rows=split.rows,
        validation_rows=split.held_out,
        progress=progress,
        start=start,
        checkpoints=checkpoints,
        purpose=purpose,
        folder=workdir,
        measure=measure if labels.by_name else None,
    )
    last = fitted.history[-1]
    progress.note(
        f"{counted(last.epoch, 'epoch')} in {fitted.seconds:.1f} s on {fitted.device}"
        f"{', stopped on a plateau' if fitted.stopped_early else ''}; "
        f"validation loss {last.validation['total']:.4f}"
    )
    return fitted
