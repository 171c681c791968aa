"""Recipes along budgets as a figure: the loss to expect with its interval, and below it the best size and method."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embudget.laws import Laws
from embudget.palette import Stroke, strokes
from embudget.recipe import CurvePoint, Recipe
from embudget.report.drawing import (
    BAND,
    BUDGET,
    GRID,
    LEGEND,
    LOSS,
    axis,
    drawn,
    hover,
    line,
    marker_of,
    markers,
    of_method,
)
from embudget.report.formats import number, plotly_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_LINE = "rgba(128,128,128,0.9)"
_UPPER, _LOWER = (0.47, 1.0), (0.0, 0.40)
"""Heights of the two panels, as shares of the figure's."""
_WIDEST = 2.0
"""Times the predicted losses up to which the loss axis follows the intervals, which far away grow without bounds."""


def curve_figure(points: Sequence[CurvePoint], laws: Laws) -> "Figure":
    """Predicted best loss and best size against budget, coloured by method; measured budgets shaded.

    Raises:
        ValueError: no point has a recipe.
    """
    found = [(point.budget, point.recipe) for point in points if point.recipe is not None]
    if not found:
        raise ValueError("no point of the curve has a recipe")
    budgets, recipes = [budget for budget, _ in found], [recipe for _, recipe in found]
    losses, sizes = [one.predicted_loss for one in recipes], [one.model_params for one in recipes]
    lower, upper = (line(budgets, [one.predicted_interval[end] for one in recipes], {"width": 0}) for end in (0, 1))
    band = {"name": f"interval ({100 * recipes[0].level:.0f} %)", "fill": "tonexty", "fillcolor": BAND}
    unnamed = {"showlegend": False}
    traces = [lower | unnamed, upper | band]
    for values, panel in ((losses, "y"), (sizes, "y2")):
        traces.append(line(budgets, values, {"color": _LINE}) | unnamed | {"yaxis": panel})
    for method, stroke in strokes(method for one in laws.every for method in one.table.methods).items():
        traces += _method_traces(method, [one for one in found if one[1].method == method], stroke)
    x = axis(BUDGET, [point.budget for point in points], log=True, pad=0.03) | {"anchor": "y2"}
    y = axis(LOSS, _loss_range(recipes), log=True) | {"domain": _UPPER}
    y2 = axis("best N, parameters", sizes, log=True, pad=0.15) | {"domain": _LOWER, "anchor": "x"}
    return drawn(traces, x, y, height=660, yaxis2=y2, shapes=_measured(laws, x["range"]), **LEGEND)


def _loss_range(recipes: Sequence[Recipe]) -> list[float]:
    predicted = [recipe.predicted_loss for recipe in recipes]
    low = min(recipe.predicted_interval[0] for recipe in recipes)
    high = max(recipe.predicted_interval[1] for recipe in recipes)
    return [max(low, min(predicted) / _WIDEST), min(high, max(predicted) * _WIDEST)]


def _method_traces(method: str, found: Sequence[tuple[float, Recipe]], stroke: Stroke) -> list[dict[str, Any]]:
    """The points where a method is the recipe's, in both panels."""
    if not found:
        return []
    budgets, texts = [budget for budget, _ in found], [_text(budget, recipe) for budget, recipe in found]
    losses = [recipe.predicted_loss for _, recipe in found]
    upper = of_method(method, markers(plotly_text(method), budgets, losses, marker_of(stroke, 10), texts), named=True)
    sizes = [recipe.model_params for _, recipe in found]
    return [upper, upper | {"y": sizes, "yaxis": "y2", "showlegend": False}]


def _text(budget: float, recipe: Recipe) -> str:
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    return hover(
        f"{number(budget)} FLOP: {recipe.model} {recipe.method}",
        f"N = {number(recipe.model_params)}, {number(recipe.tokens)} tokens, batch {recipe.batch_size}",
        f"predicted {recipe.predicted_loss:.3f} nats ({low:.3f} to {high:.3f}; without a run's noise {least:.3f} to "
        f"{most:.3f})",
        f"{number(recipe.extrapolation)} times outside what was measured" if recipe.extrapolation > 1 else None,
        None if recipe.supported else "not supported by the measured runs",
        f"{len(recipe.flat)} others as good" if recipe.flat else None,
    )


def _measured(laws: Laws, span: Sequence[float]) -> list[dict[str, Any]]:
    """The measured budgets as a shaded range over both panels, as far as it lies within the axis."""
    low, high = max(laws.table.budgets[0], 10 ** span[0]), min(laws.table.budgets[-1], 10 ** span[1])
    if low > high:
        return []
    label = {"text": "measured", "textposition": "bottom center", "font": {"size": 11}}
    at = {"x0": low, "x1": high, "yref": "paper", "y0": 0, "y1": 1}
    return [{"type": "rect", "layer": "below", "fillcolor": GRID, "line": {"width": 0}, "label": label} | at]
