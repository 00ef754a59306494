"""How far pictures lie from their clusters, and how large and how well apart the clusters are."""

from typing import TYPE_CHECKING, Final

import numpy as np

from training.report.chart import Chart, chart
from training.report.findings import Findings
from training.report.palette import INK, LINE, SOFT, colour_of
from training.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS: Final = 48
MOST_BARS: Final = 40
LEAST_HEIGHT, BAR_HEIGHT = 1.1, 0.19  # inches


def distance_histogram(subject: Subject, findings: Findings) -> Chart:
    """Draw the distances of all pictures from their centres, in units of the `unknown` threshold."""
    held = np.zeros(len(findings.relative), np.bool_)
    held[subject.held_out] = True
    fitted, new = findings.relative[~held], findings.relative[held]
    beyond = float((new > 1).mean()) if len(new) else float((fitted > 1).mean())
    end = float(np.clip(np.quantile(findings.relative, 0.999) * 1.05, 1.25, 3.0))
    edges = np.linspace(0, end, BINS + 1)

    def draw(axes: "Axes") -> None:
        axes.grid(axis="y")
        axes.tick_params(length=0)
        first = "fitted on" if len(new) else "pictures"
        for values, colour, name in ((fitted, colour_of(1), first), (new, colour_of(2), "held out")):
            if not len(values):
                continue
            heights = np.histogram(np.minimum(values, end), edges)[0] / len(values)
            if name == first:
                axes.stairs(heights, edges, color=colour, fill=True, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linewidth=1.6, label=f"{name} ({len(values):,})")
        axes.axvline(1.0, color=INK, linewidth=1.3, linestyle="--")
        axes.margins(x=0.01)
        top = axes.get_ylim()[1]
        axes.set_ylim(0, top * 1.12)
        axes.annotate(
            "unknown", (1, top * 1.1), (5, 0), textcoords="offset points", va="top", ha="left", color=INK
        )
        axes.set_xlabel("distance from the centre, 1 = the threshold")
        axes.set_ylabel("share of pictures")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

    who = "held-out pictures" if len(new) else "the pictures"
    return chart(
        "distances", f"Distances from the centres: {beyond:.1%} of {who} lie beyond the threshold", draw
    )


def silhouette_bars(findings: Findings) -> Chart:
    """Draw each cluster's size and silhouette, the largest clusters only if there are many."""
    groups = findings.groups[:MOST_BARS]
    height = LEAST_HEIGHT + BAR_HEIGHT * len(groups)
    y = np.arange(len(groups))

    def draw(axes: "Axes") -> None:
        values = [group.silhouette for group in groups]
        shown = np.array([0.0 if value is None else value for value in values])
        axes.grid(axis="x")
        axes.tick_params(length=0)
        for row, group in enumerate(groups):
            axes.barh(
                row, shown[row], color=colour_of(group.number), height=0.72, edgecolor=LINE, linewidth=0.5
            )
        known = [value for value in values if value is not None]
        if known:
            sizes = [group.size for group in groups if group.silhouette is not None]
            axes.axvline(float(np.average(known, weights=sizes)), color=INK, linewidth=1.2, linestyle="--")
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.set_yticks(y, [f"{group.number}" for group in groups], color=INK)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        right = max(0.1, float(shown.max()) * 1.02)
        axes.set_xlim(min(0.0, float(shown.min()) * 1.1), right)
        for row, group in enumerate(groups):
            axes.annotate(
                f"{group.size:,}",
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                ha="left",
                color=SOFT,
                annotation_clip=False,
            )
        axes.set_xlabel("silhouette (dashed: mean)  ·  at the right: pictures")
        axes.set_ylabel("cluster")

    alt = f"Silhouette and size of {len(groups)} of {len(findings.groups)} clusters"
    return chart("silhouettes", alt, draw, height=height)
