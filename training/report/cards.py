"""The clusters on the page: a card with pictures for each of the largest, a line for each of the others."""

from collections.abc import Mapping
from html import escape
from typing import Final

import numpy as np

from model_store.counted import counted
from training.report.findings import Findings, Group
from training.report.palette import COLOURS, marker_of
from training.report.pictures import data_uri
from training.report.subject import Subject
from training.room import take

BINS: Final = 32
END: Final = 1.5  # of the small histograms, in units of the threshold
SHAPES: Final[Mapping[str, str]] = {
    "o": '<circle r="7"/>',
    "s": '<path d="M-6-6H6V6H-6Z"/>',
    "^": '<path d="M0-8L8 7H-8Z"/>',
    "D": '<path d="M0-8L8 0 0 8-8 0Z"/>',
    "v": '<path d="M0 8L8-7H-8Z"/>',
    "P": '<path d="M-3-8H3V-3H8V3H3V8H-3V3H-8V-3H-3Z"/>',
    "X": '<path d="M-4-8L0-4 4-8 8-4 4 0 8 4 4 8 0 4-4 8-8 4-4 0-8-4Z"/>',
    "*": '<path d="M0-9L2.3-2.9 8.8-2.7 3.6 1.3 5.4 7.5 0 3.9-5.4 7.5-3.6 1.3-8.8-2.7-2.3-2.9Z"/>',
}


def swatch(number: int) -> str:
    """Draw the mark that the nth cluster or label has on the map."""
    shape, colour = SHAPES[marker_of(number)], (number - 1) % len(COLOURS)
    return (
        f'<svg class="swatch" viewBox="-10 -10 20 20" aria-hidden="true" fill="var(--c{colour})">'
        f"{shape}</svg>"
    )


def called(subject: Subject, cluster_id: str) -> str:
    """Give a cluster's name, if it has one, and its id, as HTML."""
    name = subject.name_of(cluster_id)
    own = f'<span class="id">{escape(cluster_id)}</span>'
    return own if name is None else f'{escape(name)} <span class="id soft">{escape(cluster_id)}</span>'


def card(subject: Subject, group: Group) -> str:
    """Draw a cluster: its figures, where its distances lie, and its pictures."""
    entry = subject.clusters.clusters[group.index]
    strips = "".join(_strip(subject, kind, rows.tolist()) for kind, rows in group.lines.items())
    lineage = "" if entry.lineage == "new" else f'<span class="tag">{escape(entry.lineage)}</span>'
    size = counted(group.size, "picture")
    return (
        f'<section class="card"><h3>{swatch(group.number)}<b>{group.number}</b>'
        f"<span>{called(subject, entry.id)}</span>{lineage}</h3>"
        f'<p class="soft figuresline"><span>{size}</span><span>{group.share:.1%}</span>'
        f"<span>silhouette {_silhouette(group)}</span>"
        f"<span>{int((group.relative > 1).sum()):,} unknown</span></p>"
        f"{_histogram(group)}{strips or ''}</section>"
    )


def others(subject: Subject, findings: Findings, shown: int) -> str:
    """List the clusters that have no card; nothing if there are none."""
    rest = findings.groups[shown:]
    if not rest:
        return ""
    lines = "".join(
        f"<tr><td>{group.number}</td><td>{called(subject, subject.clusters.clusters[group.index].id)}</td>"
        f'<td class="n">{group.size:,}</td><td class="n">{_silhouette(group)}</td></tr>'
        for group in rest
    )
    head = "<tr><th>no.</th><th>cluster</th><th>pictures</th><th>silhouette</th></tr>"
    return (
        f"<details><summary>Another {counted(len(rest), 'cluster')}, smaller</summary>"
        f'<div class="wide"><table>{head}{lines}</table></div></details>'
    )


def _strip(subject: Subject, kind: str, rows: list[int]) -> str:
    pictures = "".join(picture(subject, row) for row in rows)
    return f'<div class="strip"><span class="soft">{kind}</span><div>{pictures}</div></div>' if rows else ""


def picture(subject: Subject, row: int) -> str:
    """Show a picture of the corpus, as the model sees it; its name is what an erasure goes by."""
    name = escape(subject.corpus.names[row])
    return (
        f'<img src="{data_uri(take(subject.corpus.pixels, np.array([row]))[0])}" alt="{name}" title="{name}">'
    )


def _histogram(group: Group) -> str:
    heights = np.histogram(np.minimum(group.relative, END), BINS, (0, END))[0]
    top = max(1, int(heights.max()))
    bars = "".join(
        f'<rect x="{at * 6}" y="{30 - 30 * n / top:.1f}" width="5" height="{30 * n / top:.1f}"/>'
        for at, n in enumerate(heights.tolist())
        if n
    )
    edge = 6 * BINS / END
    return (
        f'<svg class="spread" viewBox="0 0 {6 * BINS} 32" preserveAspectRatio="none" role="img" '
        f'aria-label="distances from the centre; the line is where unknown begins">'
        f'<g fill="var(--c{(group.number - 1) % len(COLOURS)})">{bars}</g>'
        f'<path d="M{edge:.1f} 0V32" stroke="var(--ink)" stroke-dasharray="3 2" fill="none"/>'
        f'<path d="M0 31H{6 * BINS}" stroke="var(--line)" fill="none"/></svg>'
    )


def _silhouette(group: Group) -> str:
    return "not known" if group.silhouette is None else f"{group.silhouette:.2f}"
