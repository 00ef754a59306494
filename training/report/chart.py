"""A drawing as SVG for the page, whose colours follow its theme, and as PNG.

matplotlib is imported when something is drawn: neither a worker nor a trainer that makes no report needs it.
Drawn narrow, so that its text can still be read on a phone.
"""

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.report.palette import INK, LINE, PAPER, SOFT, VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 4.2  # inches
DPI: Final = 200
STYLE: Final[Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # names are text, whatever is in them
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 2.0,
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "shoal",
}
SHOWN_CHARACTERS: Final = 18

Draw = Callable[["Axes"], None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: its name, what it shows in words, and its two forms."""

    name: str
    alt: str
    svg: str
    png: bytes


def chart(name: str, alt: str, draw: Draw, *, height: float = 3.0, legend: Draw | None = None) -> Chart:
    """Draw on one pair of axes.

    Args:
        name: of the file, and the prefix of the SVG's ids.
        alt: for those who cannot see it.
        draw: draws on the axes.
        height: in inches.
        legend: adds to the PNG what the page says in words.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        if legend is not None:
            legend(axes)
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Chart(name, alt, themed(svg.getvalue(), name), png.getvalue())


def themed(svg: str, name: str) -> str:
    """Take the drawing out of the file: ids of its own, the page's colours, nothing left to fetch."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(' id="', f' id="{name}-').replace('href="#', f'href="#{name}-')
    svg = svg.replace("url(#", f"url(#{name}-")
    return re.sub("|".join(VARIABLES), lambda found: VARIABLES[found[0]], svg)


def drawable(text: str, instead: str) -> str:
    """Give a name cut short, or something else where the font lacks a character of it."""
    from matplotlib.font_manager import findfont  # noqa: PLC0415
    from matplotlib.ft2font import FT2Font  # noqa: PLC0415

    known = FT2Font(findfont("DejaVu Sans")).get_charmap()
    if not text or any(ord(character) not in known for character in text):
        return instead
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def plain_axes(axes: "Axes", sides: Iterable[str] = ("left", "bottom", "top", "right")) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in sides:
        axes.spines[side].set_visible(False)
