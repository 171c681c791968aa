"""The frontier: held-out loss against budget, a line per method, and the recipe beyond them.

After figure 1 of "Repurposing Language Models into Embedding Models" (NeurIPS 2024).
"""

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING, Any

from embudget.laws import Laws
from embudget.laws.frontier import Frontier, FrontierPoint, frontier_points
from embudget.laws.laws import OVER_ALL
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.drawing import (
    ACCENT,
    BAND,
    BUDGET,
    LEGEND,
    LOSS,
    Label,
    Mark,
    axis,
    finish,
    hover,
    interval_bar,
    marks,
    point,
    run_text,
)
from embudget.report.formats import number, plotly_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def frontier_figure(laws: Laws, recipe: Recipe | None = None, measured: RunRecord | None = None) -> "Figure":
    """Held-out loss against budget: each method's best run and power law, the best over all, the recipe and its run."""
    import plotly.graph_objects as go

    style = marks(laws.table.methods)
    points = {method: frontier_points(cell for cell in laws.table.cells if cell.method == method) for method in style}
    budgets = [*laws.table.budgets, *([recipe.train_flops] if recipe else []), *_spent(measured)]
    span = min(budgets), max(budgets)
    traces, labels = [], []
    if OVER_ALL in laws.frontiers:
        traces.append(_overall_trace(laws.frontiers[OVER_ALL], span))
    for method, mark in style.items():
        traces += _method_traces(method, points[method], laws.frontiers.get(method), mark, span)
        labels.append(_line_end(method, points[method], laws.frontiers.get(method), mark, span[1]))
    traces += _recipe_traces(recipe, measured)
    losses = [10**label.y for label in labels] + [point.loss for group in points.values() for point in group]
    losses += [*recipe.predicted_interval] if recipe else []
    losses += [measured.loss] if measured is not None and measured.loss else []
    figure = finish(go.Figure(traces), axis(BUDGET, budgets, log=True), axis(LOSS, losses, log=True), labels, 480)
    figure.update_layout(LEGEND)
    return figure


def _spent(measured: RunRecord | None) -> list[float]:
    return [measured.config.train_flops] if measured is not None and measured.loss else []


def _overall_trace(frontier: Frontier, span: tuple[float, float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": "best over all methods",
        "x": list(span),
        "y": [frontier.line(budget) for budget in span],
        "mode": "lines",
        "line": {"color": BAND, "width": 13},
        "hoverinfo": "skip",
    }


def _method_traces(
    method: str, points: Sequence[FrontierPoint], frontier: Frontier | None, mark: Mark, span: tuple[float, float]
) -> list[dict[str, Any]]:
    """The power law, solid over the method's own budgets and dotted beyond them, and the best run of each budget."""
    shared = {"type": "scatter", "name": plotly_text(method), "showlegend": False}
    own = points[0].budget, points[-1].budget
    traces = []
    for ends, dash in (((span[0], own[0]), "dot"), (own, "solid"), ((own[1], span[1]), "dot")):
        if frontier is not None and ends[0] < ends[1]:
            losses = [frontier.line(budget) for budget in ends]
            line = {"color": mark.color, "width": 2, "dash": dash}
            traces.append({**shared, "x": list(ends), "y": losses, "mode": "lines", "line": line, "hoverinfo": "skip"})
    texts = [hover(f"{p.method}, best of {number(p.budget)} FLOP", p.model, f"loss {p.loss:.3f} nats") for p in points]
    markers = {
        "mode": "markers",
        "marker": {"color": mark.color, "symbol": mark.symbol, "size": 10},
        "x": [point.budget for point in points],
        "y": [point.loss for point in points],
        "hovertext": texts,
        "hoverinfo": "text",
    }
    return [*traces, shared | markers]


def _line_end(
    method: str, points: Sequence[FrontierPoint], frontier: Frontier | None, mark: Mark, budget: float
) -> Label:
    loss = points[-1].loss if frontier is None else frontier.line(budget)
    return Label(log10(loss), f"<b>{plotly_text(method)}</b>", mark.color)


def _recipe_traces(recipe: Recipe | None, measured: RunRecord | None) -> list[dict[str, Any]]:
    traces = []
    if recipe is not None:
        low, high = recipe.predicted_interval
        traces.append(
            point(
                f"recipe, predicted ({100 * recipe.level:.0f} %)",
                (recipe.train_flops, recipe.predicted_loss),
                {"color": ACCENT, "symbol": "diamond-open", "size": 13, "line": {"width": 2.5}},
                hover(
                    f"recipe: {recipe.model} {recipe.method}",
                    f"predicted {recipe.predicted_loss:.3f} nats ({low:.3f} to {high:.3f})",
                ),
            )
            | {"error_y": interval_bar(recipe)}
        )
    if measured is not None and measured.loss:
        traces.append(
            point(
                "recipe, measured",
                (measured.config.train_flops, measured.loss),
                {"color": ACCENT, "symbol": "star", "size": 14, "line": {"width": 0}},
                run_text(measured),
            )
        )
    return traces
