"""How does the page draw a method? By `embudget.palette.strokes`, on white as it is and on black with white mixed in.

Of a kind with many methods the darkest shades of the palette are made for white paper: on a dark page they would hardly
be seen. All get the same share of white, so that they keep their order.
"""

from collections.abc import Iterable

from embudget.methods import kind_of
from embudget.palette import strokes

WHITE = 0.45
"""Share of white in a colour on the dark page. With it the darkest shade has a contrast of 5 to 1."""


def on_dark(color: str) -> str:
    """A colour #rrggbb as it is drawn on the dark page."""
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + WHITE * (255 - part)):02x}" for part in parts)


def method_looks(methods: Iterable[str]) -> list[dict[str, str]]:
    """Name, kind, colours and symbol of each method, in the paper's order, for the page's script."""
    drawn = strokes(methods)
    return [
        {
            "name": method, "kind": kind_of(method), "color": drawn[method].color, "dark": on_dark(drawn[method].color),
            "symbol": drawn[method].symbol,
        }
        for method in drawn
    ]  # fmt: skip
