"""A candidate beside the champion, on the same pictures."""

from model_store.predictor import Predictor, best_device
from training.corpus import Corpus
from training.labels import Labels
from training.latency import relative_latency
from training.predecessor import Predecessor
from training.promotion import Comparison
from training.quality import judge
from training.train_settings import TrainSettings
from training.trained import Trained


def compare(
    trained: Trained, predecessor: Predecessor, corpus: Corpus, settings: TrainSettings
) -> Comparison | None:
    """Judge the champion on the candidate's held-out pictures; None if it can see none of them.

    Args:
        trained: the candidate.
        predecessor: the champion, with its view of the corpus.
        corpus: what the candidate was trained on.
        settings: of the candidate's run.
    """
    rows, pixels = predecessor.shown(trained.held_out)
    if not len(rows):
        return None
    quality = judge(
        predecessor.bundle.predictor,
        predecessor.decoder,
        predecessor.bundle.clusterer,
        pixels,
        settings.fit.random_state,
        side=min(settings.preprocess.input_size, predecessor.side),
        accuracy=Labels.read(settings.labels_file).accuracy(corpus.names, predecessor.labels),
    )
    candidate = Predictor(trained.fitted.encoder, trained.clusterer, best_device(settings.fit.device))
    return Comparison(
        champion=quality,
        moved=trained.moved,
        unknown=float(predecessor.unknown[rows].mean()),
        latency=relative_latency(candidate, predecessor.bundle.predictor, corpus.pixels[rows], pixels),
        same_kind=predecessor.is_of(settings.fit),
    )
