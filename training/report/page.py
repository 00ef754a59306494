"""`report.html`: one file, no script, nothing fetched; for a phone as for a screen, in light and in dark.

Whatever comes from outside (names of clusters, pictures, labels, reasons) is escaped.
"""

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

from training.report.cards import called, card, others, picture, swatch
from training.report.chart import Chart
from training.report.facts import Facts, data_facts, figure_facts, run_facts
from training.report.findings import Findings
from training.report.palette import COLOURS, DARK_COLOURS, variables
from training.report.pictures import Reconstructed, data_uri
from training.report.settings import ReportSettings
from training.report.subject import Subject

PAGE: Final = "page.html"
LISTED_EVENTS: Final = 60


@dataclass(frozen=True, slots=True)
class Drawings:
    """The charts of a report; what cannot be drawn is None."""

    clusters: Chart | None
    labels: tuple[Chart, tuple[str, ...]] | None
    silhouettes: Chart
    distances: Chart
    loss: Chart | None
    accuracy: Chart | None
    choice: Chart | None

    def charts(self) -> tuple[Chart, ...]:
        """Give those that there are."""
        labels = self.labels[0] if self.labels else None
        found = (
            *(self.clusters, labels, self.silhouettes, self.distances),
            *(self.loss, self.accuracy, self.choice),
        )
        return tuple(chart for chart in found if chart is not None)


def page(
    subject: Subject,
    findings: Findings,
    drawings: Drawings,
    reconstructed: Reconstructed,
    settings: ReportSettings,
    verdict: str,
    told: Facts,
) -> str:
    """Write the page.

    Args:
        subject: what it is of.
        findings: what was found.
        drawings: of it.
        reconstructed: pictures and what became of them.
        settings: how much is shown.
        verdict: what became of the model, in words.
        told: further facts of the run.
    """
    template = Template(importlib.resources.files("training.report").joinpath(PAGE).read_text())
    shown = findings.groups[: settings.sheets]
    return template.substitute(
        colours=variables(COLOURS),
        dark_colours=variables(DARK_COLOURS),
        per_row=settings.pictures_per_row,
        collection=escape(subject.manifest.collection),
        version=escape(subject.manifest.version),
        verdict=_verdict(subject, verdict),
        figures=_figures(subject, findings),
        map_words=_map_words(findings),
        maps=_maps(drawings),
        clusters_words=_clusters_words(len(shown), len(findings.groups)),
        spreads=_panel(drawings.silhouettes, "Size and silhouette")
        + _panel(drawings.distances, "Distances from the centres"),
        cards="".join(card(subject, group) for group in shown),
        others=others(subject, findings, len(shown)),
        reconstructions_words=_reconstructions_words(subject),
        pairs=_pairs(subject, reconstructed),
        curves=_curves(drawings),
        choice_words=_choice_words(subject),
        choice=_panel(drawings.choice, "Stability and silhouette by number"),
        gates=_gates(subject),
        events=_events(subject),
        data_facts=_rows(data_facts(subject)),
        run_facts=_rows((*told, *run_facts(subject))),
        figure_facts=_rows(figure_facts(subject)) or "<tr><td>none recorded</td></tr>",
    )


def _verdict(subject: Subject, verdict: str) -> str:
    failed = [gate for gate in subject.manifest.gates if not gate.passed]
    return f"<b>{'✕' if failed else '✓'}</b>{escape(verdict)}"


def _figures(subject: Subject, findings: Findings) -> str:
    metrics, held = subject.manifest.metrics, subject.held_out
    seen = findings.relative[held] if len(held) else findings.relative
    tiles = [
        (f"{subject.manifest.snapshot.n_images:,}", "pictures learnt from"),
        (f"{len(findings.groups):,}", "clusters"),
        (
            f"{(seen > 1).mean():.1%}",
            f"of {len(held):,} held-out pictures unknown" if len(held) else "of pictures unknown",
        ),
    ]
    for name, words, pattern in (
        ("silhouette", "silhouette, held out", "{:.2f}"),
        ("accuracy", "accuracy against labels", "{:.1%}"),
        ("train_s", "seconds of training", "{:,.0f}"),
    ):
        if name in metrics:
            tiles.append((pattern.format(metrics[name]), words))
    return "".join(f"<div><b>{number}</b>{words}</div>" for number, words in tiles)


def _panel(chart: Chart | None, title: str, below: str = "") -> str:
    if chart is None:
        return ""
    svg = chart.svg.replace("<svg", f'<svg role="img" aria-label="{escape(chart.alt)}"', 1)
    return f"<figure><figcaption>{title}</figcaption>{svg}{below}</figure>"


def _maps(drawings: Drawings) -> str:
    if drawings.clusters is None:
        return '<p class="soft">Too few pictures for a map.</p>'
    maps = _panel(drawings.clusters, "By cluster")
    if drawings.labels is None:
        return maps
    chart, labels = drawings.labels
    legend = "".join(f"<li>{swatch(n)}{escape(label)}</li>" for n, label in enumerate(labels[:56], 1))
    more = f"<li>and {len(labels) - 56} more</li>" if len(labels) > 56 else ""
    return maps + _panel(chart, "By label", f'<ul class="legend">{legend}{more}</ul>')


def _map_words(findings: Findings) -> str:
    return (
        f"{len(findings.sample.rows):,} pictures, laid out by t-SNE so that those that the model finds alike "
        "are neighbours. Distances across the map mean nothing. The numbers are those of the clusters below."
    )


def _clusters_words(shown: int, there_are: int) -> str:
    which = "" if shown == there_are else f"The {shown} largest of {there_are:,}. "
    return (
        f"{which}Typical pictures lie nearest to the centre, borderline ones nearly as near to another "
        "centre, outliers farthest out. Beyond the dashed line a picture is answered <code>unknown</code>. "
        "Counted are all pictures of this report, held-out ones too; <code>shoal clusters list</code> counts "
        "those that the centres were fitted on."
    )


def _reconstructions_words(subject: Subject) -> str:
    kind = "Held-out pictures" if len(subject.held_out) else "Pictures"
    return (
        f"{kind} above, what the decoder draws from their embedding below; the best drawn come first. "
        "The number is the mean squared error, of pixels from 0 to 1."
    )


def _pairs(subject: Subject, reconstructed: Reconstructed) -> str:
    return "".join(
        f'<div class="pair">{picture(subject, int(row))}<img src="{data_uri(drawn)}" alt="drawn again">'
        f'<span class="soft">{error:.4f}</span></div>'
        for row, drawn, error in zip(
            reconstructed.rows, reconstructed.drawn, reconstructed.errors, strict=True
        )
    )


def _curves(drawings: Drawings) -> str:
    panels = _panel(drawings.loss, "Loss") + _panel(drawings.accuracy, "Accuracy against labels")
    if drawings.loss is None:
        panels = '<p class="soft">Not recorded by the version of Shoal that trained this model.</p>'
    elif drawings.accuracy is None:
        panels += '<p class="soft">No labels were given, so no accuracy was measured.</p>'
    return panels


def _choice_words(subject: Subject) -> str:
    choice, n_clusters = subject.course.choice, subject.manifest.n_clusters
    if choice is None:
        return (
            f"{n_clusters:,}: that many were asked for, or the champion had as many. None was searched for."
        )
    return (
        f"{escape(choice.told)}. Stability is the adjusted Rand index of "
        "clusterings of two halves; the score is the silhouette plus half the stability."
    )


def _gates(subject: Subject) -> str:
    gates = subject.manifest.gates
    if not gates:
        return '<p class="soft">This version was published without being held against a champion.</p>'
    lines = "".join(
        f"<li><b>{'✓' if gate.passed else '✕'}</b><b>{escape(gate.name)}</b>: {escape(gate.reason)}</li>"
        for gate in sorted(gates, key=lambda gate: gate.passed)
    )
    return f'<ul class="gates">{lines}</ul>'


def _events(subject: Subject) -> str:
    events = subject.clusters.events
    if not events:
        return '<p class="soft">There was no former model to compare with: all clusters are new.</p>'
    told = [event for event in events if event.kind != "survived"]
    n_same = len(events) - len(told)
    same = f"<p>{n_same:,} of {len(events):,} are the ones that they were.</p>" if n_same else ""

    def names(ids: Sequence[str]) -> str:
        return ", ".join(called(subject, cluster_id) for cluster_id in ids) or "nothing"

    lines = "".join(
        f"<li><b>{event.kind}</b>: {names(event.before)} → {names(event.after)}. "
        f'<span class="soft">{escape(event.reason)}</span></li>'
        for event in told[:LISTED_EVENTS]
    )
    more = f"<li>and {len(told) - LISTED_EVENTS:,} more</li>" if len(told) > LISTED_EVENTS else ""
    return same + (f'<ul class="events">{lines}{more}</ul>' if lines else "")


def _rows(facts: Facts) -> str:
    return "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
