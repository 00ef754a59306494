"""Colours and shapes: Okabe and Ito (2008), which the colour-blind tell apart; never colour alone.

Cluster n has colour n mod 7 and shape n mod 8, so that 56 clusters look different, and the first seven
differ in both. In the page colours are variables, so that they suit light and dark; in PNGs they are these.
"""

from typing import Final

# the yellow is a little darker than theirs: on white it has to be seen
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#d9c400")
DARK_COLOURS: Final = ("#3d9be0", "#e69f00", "#1fb98c", "#dc94bb", "#8fd3f7", "#f0763b", "#f0e442")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, SOFT, LINE, PAPER = "#1b1f24", "#59636e", "#d8dee4", "#fffffe"
VARIABLES: Final = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    **{colour: f"var(--c{n})" for n, colour in enumerate(COLOURS)},
}


def colour_of(number: int) -> str:
    """Give the colour of the nth cluster or label, from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def marker_of(number: int) -> str:
    """Give the shape of the nth cluster or label, from 1, as matplotlib calls it."""
    return MARKERS[(number - 1) % len(MARKERS)]


def variables(colours: tuple[str, ...]) -> str:
    """Declare the colours for the page."""
    return ";".join(f"--c{n}:{colour}" for n, colour in enumerate(colours))
