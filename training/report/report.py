"""The report of a training run, made whole: `report.html`, and its drawings as PNG."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from training.report.chart import drawable
from training.report.curves import accuracy_curve, choice_curve, loss_curve
from training.report.facts import Facts
from training.report.findings import Findings, find
from training.report.maps import cluster_map, label_map
from training.report.page import Drawings, page
from training.report.pictures import Reconstructed, sheets_png
from training.report.settings import ReportSettings
from training.report.spread import distance_histogram, silhouette_bars
from training.report.subject import Subject

PAGE: Final = "report.html"


@dataclass(frozen=True, slots=True)
class Report:
    """Files by name, and the names of the pictures that they show."""

    files: Mapping[str, bytes]
    shows: frozenset[str]


def make_report(
    subject: Subject, settings: ReportSettings, verdict: str = "trained by hand", told: Facts = ()
) -> Report:
    """Make the report of a model and its pictures.

    Args:
        subject: what it is of.
        settings: how much it shows.
        verdict: what became of the model, in words.
        told: further facts of the run, for the table.
    """
    findings = find(subject, settings)
    reconstructed = Reconstructed(subject, settings.reconstructions)
    drawings = Drawings(
        clusters=cluster_map(subject, findings),
        labels=label_map(subject, findings),
        silhouettes=silhouette_bars(findings),
        distances=distance_histogram(subject, findings),
        loss=loss_curve(subject),
        accuracy=accuracy_curve(subject),
        choice=choice_curve(subject),
    )
    names = subject.corpus.names
    html = page(subject, findings, drawings, reconstructed, settings, verdict, told)
    files = {f"{chart.name}.png": chart.png for chart in drawings.charts()}
    files["reconstructions.png"] = reconstructed.png(names)
    files["sheets.png"] = sheets_png(subject, findings, _labels(subject, findings), settings.sheets)
    files[PAGE] = html.encode("utf-8", "surrogateescape")
    return Report(files, frozenset(names[row] for row in _shown(findings, reconstructed, settings)))


def _labels(subject: Subject, findings: Findings) -> list[str]:
    ids = [subject.clusters.clusters[group.index].id for group in findings.groups]
    named = [drawable(subject.name_of(cluster_id) or cluster_id, cluster_id) for cluster_id in ids]
    return [f"{group.number}  {name}" for group, name in zip(findings.groups, named, strict=True)]


def _shown(findings: Findings, reconstructed: Reconstructed, settings: ReportSettings) -> set[int]:
    groups = findings.groups[: settings.sheets]
    rows = {int(row) for group in groups for line in group.lines.values() for row in line}
    return rows | {int(row) for row in reconstructed.rows}
