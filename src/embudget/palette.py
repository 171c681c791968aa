"""How is a method drawn? Its kind has a colour, a marker and a dash, and each method of the kind a shade of the colour.

Print (`embudget.figures`), the page (`embudget.report`) and `Laws.plot` all draw by this table, so that they agree. The
colours are Okabe and Ito's (2008), which colour-blind readers tell apart. Marker and dash differ as well, so that a
copy in grey can be read.
"""

from collections.abc import Iterable
from typing import NamedTuple

from embudget.methods import kind_of, parse_method


class Stroke(NamedTuple):
    """How one method is drawn, in the words of matplotlib and, where they differ, of plotly."""

    color: str
    """#rrggbb"""
    marker: str
    dash: tuple[int, tuple[float, ...]]
    """Offset, and lengths of ink and gap in multiples of the line's width, for matplotlib; none for a solid line."""
    symbol: str
    """plotly's name of the marker"""
    plotly_dash: str


KIND_STROKES = {
    "full": Stroke("#0072b2", "o", (0, ()), "circle", "solid"),
    "freeze": Stroke("#d55e00", "s", (0, (5, 1.6)), "square", "dash"),
    "bias": Stroke("#cc79a7", "D", (0, (1.2, 1.4)), "diamond", "dot"),
    "lora": Stroke("#009e73", "^", (0, (5, 1.5, 1.2, 1.5)), "triangle-up", "dashdot"),
}
"""Kind of method -> its stroke, in the paper's order."""

GREY = "#6b6b6b"
"""What belongs to no method: fitted lines over all, notes, missing cells."""
LIGHTEST, DARKEST = 0.6, 0.55
"""Shares of white in the first method of a kind and of black in its last, where there are several."""


def strokes(methods: Iterable[str]) -> dict[str, Stroke]:
    """The stroke of each method, given all that are drawn together, in the paper's order.

    Methods of one kind get darker with their rank or fraction. A kind with one method has its plain colour.

    Example:
        >>> strokes(["lora:128", "full"])["lora:128"].color
        '#009e73'
    """
    known = sorted(set(methods), key=lambda method: (parse_method(method).number or 0.0, method))
    found = {}
    for kind, stroke in KIND_STROKES.items():
        mine = [method for method in known if kind_of(method) == kind]
        for place, method in enumerate(mine):
            found[method] = stroke._replace(color=shade(stroke.color, place / (len(mine) - 1) if mine[1:] else 0.5))
    return found


def shade(color: str, place: float) -> str:
    """A shade of a colour: at ``place`` 0 the lightest that is still seen on white, at 0.5 itself, at 1 the darkest."""
    towards, share = (255, 2 * LIGHTEST * (0.5 - place)) if place < 0.5 else (0, 2 * DARKEST * (place - 0.5))
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + share * (towards - part)):02x}" for part in parts)


def ink(color: str) -> str:
    """A colour dark enough for small text on white."""
    return shade(color, 0.8)
