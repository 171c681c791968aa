"""The frontier: held-out loss against budget, a line per method, and the recipe beyond them.

After figure 1 of "Repurposing Language Models into Embedding Models" (NeurIPS 2024).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embudget.laws import Laws
from embudget.laws.frontier import Frontier, FrontierPoint, frontier_points
from embudget.laws.laws import OVER_ALL
from embudget.palette import Stroke, strokes
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.drawing import (
    ACCENT,
    BAND,
    BUDGET,
    LEGEND,
    LOSS,
    STAR,
    axis,
    drawn,
    hover,
    interval_bar,
    line,
    marker_of,
    markers,
    of_method,
    run_text,
)  # fmt: skip
from embudget.report.formats import number, plotly_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PALE = 0.4
"""Opacity of a law beyond the budgets that its method was measured at."""


def frontier_figure(laws: Laws, recipe: Recipe | None = None, measured: RunRecord | None = None) -> "Figure":
    """Held-out loss against budget: each method's best run and power law, the best over all, the recipe and its run."""
    points = {
        method: frontier_points(cell for cell in laws.table.cells if cell.method == method)
        for method in laws.table.methods
    }
    own_run = _recipe_traces(recipe, measured)
    budgets = [*laws.table.budgets, *(trace["x"][0] for trace in own_run)]
    losses = [point.loss for group in points.values() for point in group]
    span = min(budgets), max(budgets)
    traces = []
    if OVER_ALL in laws.frontiers:
        best = [laws.frontiers[OVER_ALL].line(budget) for budget in span]
        traces.append(line(span, best, {"color": BAND, "width": 13}, "best over all methods"))
    for method, stroke in strokes(laws.table.methods).items():
        frontier = laws.frontiers.get(method)
        traces += _method_traces(method, points[method], frontier, stroke, span)
        losses += [] if frontier is None else [frontier.line(span[1])]
    losses += [trace["y"][0] for trace in own_run]
    losses += recipe.predicted_interval if recipe else ()
    x, y = axis(BUDGET, budgets, log=True), axis(LOSS, losses, log=True)
    return drawn([*traces, *own_run], x, y, height=480, **LEGEND)


def _method_traces(
    method: str, points: Sequence[FrontierPoint], frontier: Frontier | None, stroke: Stroke, span: tuple[float, float]
) -> list[dict[str, Any]]:
    """The power law, pale beyond the method's own budgets, and the best run of each budget."""
    name, traces = plotly_text(method), []
    own = points[0].budget, points[-1].budget
    style = {"color": stroke.color, "width": 2, "dash": stroke.plotly_dash}
    for ends, opacity in (((span[0], own[0]), PALE), (own, 1.0), ((own[1], span[1]), PALE)):
        if frontier is not None and ends[0] < ends[1]:
            law = line(ends, [frontier.line(budget) for budget in ends], style, name)
            traces.append(of_method(method, law | {"opacity": opacity}))
    texts = [hover(f"{p.method}, best of {number(p.budget)} FLOP", p.model, f"loss {p.loss:.3f} nats") for p in points]
    budgets, losses = [point.budget for point in points], [point.loss for point in points]
    traces.append(of_method(method, markers(name, budgets, losses, marker_of(stroke, 10), texts), named=True))
    return traces


def _recipe_traces(recipe: Recipe | None, measured: RunRecord | None) -> list[dict[str, Any]]:
    traces = []
    if recipe is not None:
        low, high = recipe.predicted_interval
        text = hover(
            f"recipe: {recipe.model} {recipe.method}",
            f"predicted {recipe.predicted_loss:.3f} nats ({low:.3f} to {high:.3f})",
        )
        name = f"recipe, predicted ({100 * recipe.level:.0f} %)"
        marker = {"color": ACCENT, "symbol": "diamond-open", "size": 13, "line": {"width": 2.5}}
        predicted = markers(name, [recipe.train_flops], [recipe.predicted_loss], marker, [text])
        traces.append(predicted | {"error_y": interval_bar(recipe)})
    if measured is not None and measured.loss:
        budget = measured.config.train_flops
        traces.append(markers("recipe, measured", [budget], [measured.loss], STAR, [run_text(measured)]))
    return traces
