"""The clustering map: the sample laid out by t-SNE, coloured by cluster and, with labels, by label."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.report.chart import WIDTH, Chart, chart, drawable, plain_axes
from training.report.findings import Findings
from training.report.palette import INK, LINE, PAPER, SOFT, colour_of, marker_of
from training.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STYLED: Final = 56  # colour and shape tell so many apart
LEGEND_ROWS: Final = 24
TEXT_HEIGHT, CHARACTER_WIDTH = 0.052, 0.025  # of the map's side


@dataclass(frozen=True, slots=True)
class Kind:
    """Points of one look: its number by size from 1, what is written on it and in the legend."""

    number: int
    text: str
    legend: str
    rows: NDArray[np.intp]  # of the sample


def cluster_map(subject: Subject, findings: Findings) -> Chart | None:
    """Draw the map by cluster; None if there are too few pictures."""
    sample = findings.sample
    if sample.places is None:
        return None
    kinds = []
    for group in findings.groups[:MOST_STYLED]:
        cluster_id = subject.clusters.clusters[group.index].id
        name = drawable(subject.name_of(cluster_id) or cluster_id, cluster_id)
        rows = np.flatnonzero(sample.clusters == group.index)
        kinds.append(Kind(group.number, str(group.number), f"{group.number}  {name}", rows))
    alt = f"{len(sample.rows)} pictures, alike ones beside each other, marked by their cluster"
    return _draw("map-clusters", alt, sample.places, kinds)


def label_map(subject: Subject, findings: Findings) -> tuple[Chart, tuple[str, ...]] | None:
    """Draw the map by label, and list the labels by their numbers; None without labels or pictures."""
    sample, names = findings.sample, subject.corpus.names
    labels = [subject.labels.by_name.get(names[int(row)]) for row in sample.rows]
    counted = Counter(label for label in labels if label is not None)
    if sample.places is None or not counted:
        return None
    ordered = sorted(counted, key=lambda label: (-counted[label], label))
    kinds = []
    for number, label in enumerate(ordered[:MOST_STYLED], 1):
        rows = np.array([row for row, found in enumerate(labels) if found == label], np.intp)
        shown = drawable(label, str(number))
        kinds.append(Kind(number, shown, shown if shown != str(number) else f"{number}", rows))
    alt = f"The same map by label: {len(ordered)} labels on {sum(counted.values())} pictures"
    return _draw("map-labels", alt, sample.places, kinds), tuple(ordered)


def _draw(name: str, alt: str, places: NDArray[np.float32], kinds: Sequence[Kind]) -> Chart:
    flat = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)

    def points(axes: "Axes") -> None:
        import matplotlib.patheffects as effects  # noqa: PLC0415

        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        plain_axes(axes)
        styled = np.concatenate([kind.rows for kind in kinds]) if kinds else np.empty(0, np.intp)
        rest = np.setdiff1d(np.arange(len(flat)), styled)
        axes.scatter(flat[rest, 0], flat[rest, 1], s=8, marker="o", color=SOFT, alpha=0.45, linewidths=0)
        for kind in kinds:
            axes.scatter(
                flat[kind.rows, 0],
                flat[kind.rows, 1],
                s=22 if marker_of(kind.number) in "X*P" else 16,
                marker=marker_of(kind.number),
                color=colour_of(kind.number),
                edgecolors=PAPER,
                linewidths=0.25,
                label=kind.legend,
            )
        for kind, (x, y) in _placed(flat, kinds):
            written = axes.text(x, y, kind.text, ha="center", va="center", color=INK, weight="bold")
            written.set_path_effects([effects.withStroke(linewidth=3.2, foreground=PAPER)])

    def legend(axes: "Axes") -> None:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[:LEGEND_ROWS],
            labels[:LEGEND_ROWS],
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=2,
            handletextpad=0.1,
            columnspacing=0.8,
            edgecolor=LINE,
        )

    return chart(name, alt, points, height=WIDTH, legend=legend)


def _placed(flat: NDArray[np.float32], kinds: Sequence[Kind]) -> list[tuple[Kind, tuple[float, float]]]:
    """Put each text on the middle of its points, or beside it; none where there is no room."""
    taken: list[tuple[float, float, float]] = []  # x, y, half width
    placed = []
    for kind in kinds:
        if not len(kind.rows):
            continue
        own = flat[kind.rows]
        middle = own[np.square(own - np.median(own, axis=0)).sum(axis=1).argmin()]
        half = CHARACTER_WIDTH * len(kind.text) / 2
        for dx, dy in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            x = float(np.clip(middle[0] + dx * half * 1.5, half - 0.02, 1.02 - half))
            y = float(np.clip(middle[1] + dy * TEXT_HEIGHT, 0, 1))
            if all(abs(x - a) > half + b or abs(y - c) > TEXT_HEIGHT for a, c, b in taken):
                taken.append((x, y, half))
                placed.append((kind, (x, y)))
                break
    return placed
