"""Agreement: what was measured against what L(N, D) says of the same run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.drawing import ACCENT, AXIS, LEGEND, Mark, axis, finish, interval_bar, marks, point, run_text
from embudget.report.formats import methods_in_order, plotly_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def agreement_figure(
    records: Sequence[RunRecord], laws: Laws, recipe: Recipe | None = None, measured: RunRecord | None = None
) -> "Figure":
    """Measured loss of every run against what L(N, D) says of it, and the recipe's run against what the recipe said."""
    import plotly.graph_objects as go

    style = marks(laws.table.methods)
    traces, values = [], []
    for method in methods_in_order(laws.methods):
        pairs = [(law_loss(laws, r), r.loss, run_text(r)) for r in records if r.config.method == method]
        known = [(predicted, loss, text) for predicted, loss, text in pairs if predicted is not None and loss]
        traces.append(_agreement_trace(method, known, style[method]))
        values += [value for predicted, loss, _ in known for value in (predicted, loss)]
    foreseen = recipe.predicted_loss if recipe else law_loss(laws, measured) if measured else None
    if foreseen is not None and measured is not None and measured.loss:
        marker = {"color": ACCENT, "symbol": "star", "size": 14, "line": {"width": 0}}
        bar = {"error_x": interval_bar(recipe)} if recipe else {}
        traces.append(point("recipe's run", (foreseen, measured.loss), marker, run_text(measured, foreseen)) | bar)
        values += [foreseen, measured.loss, *(recipe.predicted_interval if recipe else ())]
    x, y = axis("predicted loss, nats", values, log=False), axis("measured held-out loss, nats", values, log=False)
    figure = finish(go.Figure([_diagonal(x["range"]), *traces]), x, y, height=520)
    figure.update_layout(LEGEND)
    return figure


def _agreement_trace(method: str, known: Sequence[tuple[float, float, str]], mark: Mark) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": plotly_text(method),
        "x": [predicted for predicted, _, _ in known],
        "y": [loss for _, loss, _ in known],
        "mode": "markers",
        "marker": {"color": mark.color, "symbol": mark.symbol, "size": 9, "opacity": 0.8},
        "hovertext": [text for _, _, text in known],
        "hoverinfo": "text",
    }


def _diagonal(span: Sequence[float]) -> dict[str, Any]:
    line = {"color": AXIS, "width": 1.5, "dash": "dash"}
    ends = list(span)
    return {"type": "scatter", "name": "measured = predicted", "x": ends, "y": ends, "mode": "lines", "line": line,
            "hoverinfo": "skip"}  # fmt: skip


def law_loss(laws: Laws, record: RunRecord) -> float | None:
    """What L(N, D) says of a run; None where its size or data are not known or its method has no law."""
    if record.config.method not in laws.methods or record.model_params is None or record.tokens is None:
        return None
    return laws.predict(record.config.method, record.model_params, record.tokens)
