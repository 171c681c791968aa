"""Agreement: what was measured against what L(N, D) says of the same run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embudget.laws import Laws
from embudget.palette import strokes
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.drawing import (
    AXIS,
    LEGEND,
    STAR,
    axis,
    drawn,
    interval_bar,
    line,
    marker_of,
    markers,
    of_method,
    run_text,
)
from embudget.report.formats import plotly_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MANY = 500
"""Runs above which their markers are smaller, so that they can be told apart."""


def agreement_figure(
    records: Sequence[RunRecord],
    laws: Laws,
    recipe: Recipe | None = None,
    measured: RunRecord | None = None,
    predicted: Mapping[str, float] | None = None,
) -> "Figure":
    """Measured loss of every run against what L(N, D) says of it, and the recipe's run against what the recipe said.

    ``predicted`` may give what the law says, by the id of a run, where that is known already.
    """
    if predicted is None:
        predicted = {run.id: said for run in records if (said := law_loss(laws, run)) is not None}
    drawn_by = strokes(laws.table.methods)
    traces, values = [], []
    for method in (one for one in drawn_by if one in laws.methods):
        runs = [record for record in records if record.config.method == method and record.loss]
        known = [(predicted[run.id], run.loss, run_text(run)) for run in runs if run.id in predicted]
        x, y, texts = zip(*known, strict=True) if known else ((), (), ())
        marker = marker_of(drawn_by[method], 9 if len(records) <= MANY else 6, opacity=0.8)
        traces.append(of_method(method, markers(plotly_text(method), x, y, marker, texts), named=True))
        values += [*x, *y]
    foreseen = recipe.predicted_loss if recipe else law_loss(laws, measured) if measured else None
    if foreseen is not None and measured is not None and measured.loss:
        own = markers("recipe's run", [foreseen], [measured.loss], STAR, [run_text(measured, foreseen)])
        traces.append(own | ({"error_x": interval_bar(recipe)} if recipe else {}))
        values += [foreseen, measured.loss, *(recipe.predicted_interval if recipe else ())]
    across = axis("predicted loss, nats", values, log=False)
    ends = across["range"]
    diagonal = line(ends, ends, {"color": AXIS, "width": 1.5, "dash": "dash"}, "measured = predicted")
    found = axis("measured held-out loss, nats", values, log=False)
    return drawn([diagonal, *traces], across, found, height=520, **LEGEND)


def law_loss(laws: Laws, record: RunRecord) -> float | None:
    """What L(N, D) says of a run; None where its size or data are not known or its method has no law."""
    mine = laws.of_model(record.config.model)
    if mine is None or record.config.method not in mine.methods:
        return None
    if record.model_params is None or record.tokens is None:
        return None
    return mine.predict(record.config.method, record.model_params, record.tokens)
