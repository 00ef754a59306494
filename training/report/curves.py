"""Curves over epochs, and over numbers of clusters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from model_store.counted import counted
from training.report.chart import Chart, chart
from training.report.palette import INK, SOFT, colour_of
from training.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERS: Final = 8.0  # a loss that falls further than this is drawn by its logarithm
BLUE, ORANGE, GREEN = colour_of(1), colour_of(2), colour_of(3)


def loss_curve(subject: Subject) -> Chart | None:
    """Draw the losses by epoch; None if they were not recorded."""
    epochs = subject.course.epochs
    if not epochs:
        return None
    x = [epoch.epoch for epoch in epochs]
    train = [epoch.train["total"] for epoch in epochs]
    held_out = [epoch.validation["total"] for epoch in epochs]
    best = min(range(len(epochs)), key=lambda at: held_out[at])

    def draw(axes: "Axes") -> None:
        _grid(axes)
        axes.plot(x, train, color=BLUE, marker="o", markersize=3, label="training")
        axes.plot(x, held_out, color=ORANGE, marker="s", markersize=3, label="held out")
        axes.plot(x[best], held_out[best], "s", markersize=8, markerfacecolor="none", markeredgecolor=INK)
        axes.annotate(
            "kept", (x[best], held_out[best]), (0, 8), textcoords="offset points", ha="center", color=INK
        )
        low, high = min(train + held_out), max(train + held_out)
        if low > 0 and high / low > ORDERS:
            _by_orders(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend(loc="best")

    fall = f"it falls from {held_out[0]:.4g} to {held_out[best]:.4g}"
    alt = f"Loss over {counted(len(epochs), 'epoch')}: held out {fall}"
    return chart("loss", alt, draw)


def accuracy_curve(subject: Subject) -> Chart | None:
    """Draw the accuracy by epoch; None if there were no labels."""
    measured = [(e.epoch, e.accuracy) for e in subject.course.epochs if e.accuracy is not None]
    if not measured:
        return None
    x, y = zip(*measured, strict=True)

    def draw(axes: "Axes") -> None:
        _grid(axes)
        axes.plot(x, y, color=GREEN, marker="^", markersize=6)
        axes.annotate(
            f"{y[-1]:.0%}", (x[-1], y[-1]), (0, 8), textcoords="offset points", ha="center", color=INK
        )
        axes.set_xlim(
            0.5, subject.course.epochs[-1].epoch + 0.5
        )  # one point alone has no whole epochs beside it
        axes.set_ylim(0, 1.05)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy")

    return chart("accuracy", f"Accuracy by epoch: {y[0]:.0%} at first, {y[-1]:.0%} at last", draw)


def choice_curve(subject: Subject, champion_n_clusters: int | None = None) -> Chart | None:
    """Draw what speaks for each number of clusters; None if the number was given."""
    choice = subject.course.choice
    if choice is None or not choice.curve:
        return None
    x = [tried.n_clusters for tried in choice.curve]
    lines: Sequence[tuple[str, list[float], str, str]] = (
        ("score", [tried.score for tried in choice.curve], INK, "D"),
        ("stability", [tried.stability for tried in choice.curve], ORANGE, "s"),
        ("silhouette", [tried.silhouette for tried in choice.curve], BLUE, "o"),
    )

    def draw(axes: "Axes") -> None:
        _grid(axes)
        for name, y, colour, marker in lines:
            axes.plot(x, y, color=colour, marker=marker, markersize=4, label=name)
        axes.axvline(choice.n_clusters, color=INK, linewidth=1.2, linestyle="--")
        if champion_n_clusters is not None and champion_n_clusters != choice.n_clusters:
            axes.axvline(champion_n_clusters, color=SOFT, linewidth=1.0, linestyle=":")
        axes.set_xlabel("clusters")
        axes.set_ylim(min(0.0, *(min(y) for _, y, *_ in lines)), max(max(y) for _, y, *_ in lines) * 1.25)
        axes.annotate(
            f" {choice.n_clusters} chosen",
            (choice.n_clusters, axes.get_ylim()[1]),
            va="top",
            ha="left" if choice.n_clusters <= (x[0] + x[-1]) / 2 else "right",
            color=INK,
        )
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)

    alt = f"Stability and silhouette for {x[0]} to {x[-1]} clusters; {choice.n_clusters} were chosen"
    return chart("choice-of-k", alt, draw, height=3.3)


def _by_orders(axes: "Axes") -> None:
    """Make the axis logarithmic, its numbers as they are: matplotlib's own want formulas, which are off."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")


def _grid(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axes.grid(axis="y")
    axes.tick_params(length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
