"""What the figures share: traces that know their method, axes with readable ticks, labels that do not collide.

Methods are drawn by `embudget.palette.strokes`. Every other colour but the recipe's is a translucent grey, legible on
white and on black: between its light and dark version the page changes the text's and the methods' colours alone. The
traces of a method have its name as their ``legendgroup``, by which the page hides it in all figures at once.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from embudget.palette import Stroke
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.formats import number, plotly_text
from embudget.yardstick import loss_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ACCENT = "#EE3377"
"""Colour of the recipe, which no method has."""
BAND, GRID, AXIS = "rgba(128,128,128,0.28)", "rgba(128,128,128,0.18)", "rgba(128,128,128,0.7)"

LOSS = "held-out loss, nats"
BUDGET = "budget, FLOP"
SIZE = "N, parameters without embeddings"

_ABOVE = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}}
LEGEND: dict[str, Any] = {"showlegend": True, "legend": _ABOVE | {"bgcolor": "rgba(0,0,0,0)"}}
"""Above the plot, where it wraps on a narrow screen and covers nothing."""
STAR = {"color": ACCENT, "symbol": "star", "size": 14, "line": {"width": 0}}
"""Marker of the recipe's own run."""
_LABEL_PIXELS = 17
"""Least distance between two labels, for text of 13 pixels."""


class Label(NamedTuple):
    """A text to the right of the plot at height ``y``, in the axis' own coordinates: log10 on a log axis."""

    y: float
    text: str


def of_method(method: str, trace: dict[str, Any], *, named: bool = False) -> dict[str, Any]:
    """A trace that belongs to a method, and that stands for it in the legend if ``named``."""
    return trace | {"legendgroup": method, "showlegend": named}


def marker_of(stroke: Stroke, size: float = 9, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as plotly knows it
    """The marker of a method."""
    return {"color": stroke.color, "symbol": stroke.symbol, "size": size} | more


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` round values within [low, high]: even steps, or 1, 2, 5 x 10^k if it is wide and positive."""
    if low <= 0 or high / low < 3:
        return _even_ticks(low, high, most)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for leading, least in (((1, 2, 5), 3), ((1, 2, 3, 5, 7), 0), ((1, 3), 0), ((1,), 0)):
        values = [first * 10.0**k for k in decades for first in leading if low <= first * 10.0**k <= high]
        if least <= len(values) <= most:
            return values
    return values[:: ceil(len(values) / most)]


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(first * power for first in (1, 2, 5, 10) if first * power >= rough)
    return [k * step for k in range(ceil(low / step), floor(high / step) + 1)]


def axis(title: str, values: Sequence[float], *, log: bool, pad: float = 0.07) -> dict[str, Any]:
    """A plotly axis that holds the values with some room, its ticks set and written by us: 1e12, not 1T or 10^12."""
    low, high = _padded(min(values), max(values), log, pad)
    at = ticks(low, high) if log else _even_ticks(low, high, 6)
    return {
        "title": {"text": title, "standoff": 8},
        "type": "log" if log else "linear",
        "range": [log10(low), log10(high)] if log else [low, high],
        "tickvals": at,
        "ticktext": [number(value) for value in at],
        "gridcolor": GRID,
        "linecolor": AXIS,
        "tickcolor": AXIS,
        "tickangle": 0,
        "showline": True,
        "ticks": "outside",
        "zeroline": False,
        "automargin": True,
    }


def _padded(low: float, high: float, log: bool, pad: float) -> tuple[float, float]:
    if log:
        factor = (high / low) ** pad if high > low else 1.2
        return low / factor, high * factor
    room = pad * (high - low) or 0.05 * high
    return max(low - room, 0.0), high + room


def drawn(
    traces: Sequence[dict[str, Any]],
    x: dict[str, Any],
    y: dict[str, Any],
    labels: Sequence[Label] = (),
    height: int = 460,
    **layout: Any,  # noqa: ANN401 - whatever plotly knows
) -> "Figure":
    """The figure of these traces and axes, with labels on the right and the layout that all figures have."""
    from plotly.graph_objects import Figure

    margin = {"l": 56, "r": 16, "t": 24, "b": 48}
    if labels:
        margin["r"] = 22 + ceil(7.2 * max(len(line) for label in labels for line in label.text.split("<br>")))
    figure = Figure(traces)
    figure.update_layout(
        template="none",
        height=height,
        uirevision="kept",
        margin=margin,
        xaxis=x,
        yaxis=y,
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#444"},
        hoverlabel={"align": "left"},
        hovermode="closest",
        showlegend=False,
        annotations=_annotations(labels, y["range"], height - margin["t"] - margin["b"]),
    )
    return figure.update_layout(layout)


def _annotations(labels: Sequence[Label], span: Sequence[float], pixels: int) -> list[dict[str, Any]]:
    ordered = sorted(labels)
    lines = max((label.text.count("<br>") + 1 for label in labels), default=1)
    gap = lines * _LABEL_PIXELS * (span[1] - span[0]) / pixels
    heights = spread_apart([label.y for label in ordered], gap)
    shared = {"x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 8, "showarrow": False, "align": "left"}
    return [shared | {"text": label.text, "y": height} for label, height in zip(ordered, heights, strict=True)]


def spread_apart(values: Sequence[float], gap: float) -> list[float]:
    """The nearest values (least squares) to rising ``values`` that lie at least ``gap`` apart."""
    if not values:
        return []
    offsets = gap * np.arange(len(values))
    moved: list[float] = (isotonic_regression(np.asarray(values, dtype=float) - offsets).x + offsets).tolist()
    return moved


def hover(*lines: str | None) -> str:
    """The text of a hover box; lines that are None are left out."""
    return "<br>".join(plotly_text(line) for line in lines if line is not None)


def markers(
    name: str, x: Sequence[float], y: Sequence[float], marker: dict[str, Any], texts: Sequence[str]
) -> dict[str, Any]:
    """A trace of markers, each with its text on hovering."""
    points = {"type": "scatter", "name": name, "x": list(x), "y": list(y), "mode": "markers", "marker": marker}
    return points | {"hovertext": list(texts), "hoverinfo": "text"}


def line(x: Sequence[float], y: Sequence[float], style: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """A trace of a line, with nothing to see on hovering."""
    ends = {"type": "scatter", "name": name, "x": list(x), "y": list(y)}
    return ends | {"mode": "lines", "line": style, "hoverinfo": "skip"}


def interval_bar(recipe: Recipe) -> dict[str, Any]:
    """The recipe's prediction interval as a plotly error bar about the predicted loss."""
    low, high = recipe.predicted_interval
    ends = {"symmetric": False, "array": [high - recipe.predicted_loss], "arrayminus": [recipe.predicted_loss - low]}
    return {"type": "data", "color": ACCENT, "thickness": 2, "width": 7} | ends


def run_text(record: RunRecord, predicted: float | None = None) -> str:
    """What a run was and came to, for hovering."""
    config = record.config
    return hover(
        f"{config.model} {config.method}",
        f"{number(config.train_flops)} FLOP, {number(record.tokens or 0)} tokens" if record.tokens else None,
        f"learning rate {number(config.learning_rate)}, batch {config.batch_size}, seed {config.seed}",
        f"predicted {predicted:.3f} nats" if predicted is not None else None,
        f"measured {loss_text(record.loss, record.groups)} nats" if record.loss is not None else None,
        f"run {record.id}",
    )
