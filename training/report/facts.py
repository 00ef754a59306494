"""What a report says in tables: the data, the run, the figures."""

import platform
from collections.abc import Iterator
from datetime import timedelta

from training.report.subject import Subject

Facts = tuple[tuple[str, str], ...]
LISTED_REASONS = 6
FIGURES = {
    "accuracy": "accuracy against labels (best naming of clusters), all labelled pictures",
    "reconstruction": "reconstruction error (mean square, pixels in 0 to 1)",
    "silhouette": "silhouette of held-out pictures",
    "largest_share": "share of the largest cluster",
    "n_empty": "empty clusters",
    "smallest_size": "smallest cluster, in the mean size, of the pictures fitted",
    "unexplained": "inertia over total variance",
    "entropy": "entropy of the shares (1: all alike)",
    "separation": "least distance of two centres, in the usual one",
    "effective_rank": "effective rank of the embeddings",
    "spread": "variance of the unit embeddings",
}


def data_facts(subject: Subject) -> Facts:
    """Tell what was learnt from: how much, from when, what was left out."""
    snapshot, corpus = subject.manifest.snapshot, subject.corpus
    rejected = sorted(corpus.rejected.items(), key=lambda item: -item[1])[:LISTED_REASONS]
    reasons = ", ".join(f"{count:,} {code}" for code, count in rejected)
    if corpus.n_rejected != snapshot.n_rejected:  # drawn again, of other pictures
        reasons = ""
    return (
        ("pictures", f"{snapshot.n_images:,}"),
        ("source", snapshot.source),
        ("first classified", _span(subject)),
        ("dropped, the same bytes", f"{snapshot.n_duplicates:,}"),
        ("dropped, look the same", f"{snapshot.n_near_duplicates:,}"),
        ("dropped, unreadable", f"{snapshot.n_rejected:,}{f': {reasons}' if reasons else ''}"),
        (
            "held out of the fit",
            f"{len(subject.held_out):,}" if len(subject.held_out) else "not known any more",
        ),
        (
            "with a label",
            f"{_labelled(subject):,}" if subject.labels.by_name else "none: labels were not given",
        ),
        ("digest", snapshot.digest),
    )


def run_facts(subject: Subject) -> Facts:
    """Tell how it was made."""
    manifest, course = subject.manifest, subject.course
    architecture = manifest.architecture
    epochs = f"{len(course.epochs)} of {course.planned_epochs} planned" if course.epochs else "not recorded"
    return (
        ("version", manifest.version),
        ("collection", manifest.collection),
        ("made", f"{manifest.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("after", manifest.parent or "no champion"),
        ("recipe", manifest.recipe),
        ("network", f"{architecture.name}, widths {', '.join(map(str, architecture.widths))}"),
        ("input", f"{architecture.input_size} x {architecture.input_size} pixels, RGB"),
        ("embedding, PCA", f"{manifest.embedding_dim} numbers, {manifest.n_components} components"),
        ("seed", str(manifest.random_state)),
        ("device", course.device or "not recorded"),
        ("epochs", epochs + (", stopped on a plateau" if course.stopped_early else "")),
        ("duration", " ".join(_durations(subject)) or "not recorded"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())),
        ("report made with", f"Python {platform.python_version()}"),
    )


def figure_facts(subject: Subject) -> Facts:
    """Give the figures of the manifest, the named ones first."""
    metrics = subject.manifest.metrics
    known = [(words, metrics[name]) for name, words in FIGURES.items() if name in metrics]
    return tuple((words, f"{value:.4g}") for words, value in known)


def _span(subject: Subject) -> str:
    oldest, newest = subject.manifest.snapshot.oldest, subject.manifest.snapshot.newest
    if oldest is None or newest is None:
        return "not known of pictures that are not in the ledger"
    return f"{oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC"


def _labelled(subject: Subject) -> int:
    return sum(name in subject.labels.by_name for name in subject.corpus.names)


def _durations(subject: Subject) -> Iterator[str]:
    total = subject.manifest.metrics.get("train_s")
    if total is not None:
        yield f"{_lasted(total)} in all,"
    if subject.course.fit_s:
        yield f"{_lasted(subject.course.fit_s)} of it fitting the network"


def _lasted(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
