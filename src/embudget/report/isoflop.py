"""IsoFLOP panels: held-out loss against model size, one panel a method, one curve a budget.

After figures 2a, 2b, 4a and 4b of "Repurposing Language Models into Embedding Models" (NeurIPS 2024).
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from embudget.laws import Laws
from embudget.laws.isoflop import Profile
from embudget.palette import Stroke, strokes
from embudget.report.drawing import LOSS, SIZE, Label, axis, drawn, hover, line, marker_of, markers, of_method
from embudget.report.formats import number
from embudget.runs.cells import Cell

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def isoflop_figure(laws: Laws, method: str) -> "Figure":
    """Loss against model size: a curve per budget, a parabola where it has a minimum, its vertex marked.

    Where there is none the runs are joined by dots and the label says so; `Laws.refusals` tell why. All methods of a
    study get the same axes.
    """
    stroke = strokes(laws.table.methods)[method]
    cells = [cell for cell in laws.table.cells if cell.method == method]
    profiles = {p.budget: p for p in laws.isoflops[method].profiles} if method in laws.isoflops else {}
    curves = [(budget, list(group)) for budget, group in groupby(cells, key=lambda cell: cell.budget)]
    traces, labels = [], []
    for budget, group in curves:
        # Large budgets in full colour, small ones paler; by place in the whole study, so that panels agree.
        opacity = 0.5 + 0.5 * (laws.table.budgets.index(budget) + 1) / len(laws.table.budgets)
        profile = profiles.get(budget)
        traces += [of_method(method, one | {"opacity": opacity}) for one in _curve_traces(group, profile, stroke)]
        note = "" if profile is not None else "<br>no vertex"
        labels.append(Label(group[-1].loss, f"<b>{number(budget)}</b>{note}"))
    sizes = [float(cell.model_params) for cell in laws.table.cells]
    losses = [cell.loss for cell in laws.table.cells]
    return drawn(traces, axis(SIZE, sizes, log=True), axis(LOSS, losses, log=False), labels, 380)


def _curve_traces(cells: Sequence[Cell], profile: Profile | None, stroke: Stroke) -> list[dict[str, Any]]:
    """The runs of one budget, their parabola or the dots between them, and the vertex."""
    budget = f"{number(cells[0].budget)} FLOP"
    sizes, losses = [cell.model_params for cell in cells], [cell.loss for cell in cells]
    runs = markers(f"runs of {budget}", sizes, losses, marker_of(stroke), [_cell_text(c) for c in cells])
    style = {"color": stroke.color, "width": 2, "dash": "dot", "simplify": False}
    if profile is None:
        return [line(sizes, losses, style, f"curve of {budget}"), runs]
    grid = np.geomspace(min(sizes), max(sizes), 60).tolist()
    parabola = line(grid, [profile(size) for size in grid], style | {"dash": "solid"}, f"curve of {budget}")
    text = hover(
        f"vertex at {budget}", f"N* = {number(profile.model_params)} parameters", f"loss {profile.loss:.3f} nats"
    )
    cross = {"color": stroke.color, "symbol": "x-thin", "size": 12, "line": {"color": stroke.color, "width": 3}}
    return [parabola, runs, markers(f"vertex of {budget}", [profile.model_params], [profile.loss], cross, [text])]


def _cell_text(cell: Cell) -> str:
    rate = "" if cell.learning_rate is None else f"learning rate {number(cell.learning_rate)}"
    batch = "" if cell.batch_size is None else f"batch {cell.batch_size:g}"
    return hover(
        f"{cell.model} {cell.method}",
        f"{number(cell.budget)} FLOP, {number(cell.tokens)} tokens",
        ", ".join(filter(None, (rate, batch))) or None,
        f"loss {cell.loss:.3f} nats" + (f", mean of {cell.seeds} seeds" if cell.seeds > 1 else ""),
    )
