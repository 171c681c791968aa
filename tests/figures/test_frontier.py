"""The frontier: points are the best measured cells, open where the best size is at the end, and no line joins them."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from embudget.errors import ConfigError
from embudget.figures.frontier import FRONTIER, draw_frontier
from embudget.laws import Laws
from embudget.methods import kind_of
from embudget.palette import KIND_STROKES
from embudget.runs import RunTable
from tests.figures.made import points, table_of, without, xs, ys


def test_points_are_the_best_cells_of_each_kind_and_budget(smollm2: Laws) -> None:
    axes = draw_frontier(smollm2)
    for kind in ("full", "freeze", "lora"):
        best: dict[float, float] = {}
        for cell in smollm2.cells:
            if kind_of(cell.method) == kind:
                best[cell.budget] = min(best.get(cell.budget, np.inf), cell.loss)
        assert [(x, y) for x, y, _ in points(axes, KIND_STROKES[kind].marker)] == sorted(best.items())


def test_a_point_is_open_where_its_best_size_is_the_first_or_last_measured(smollm2: Laws) -> None:
    is_open = {x: is_open for x, _, is_open in points(draw_frontier(smollm2), KIND_STROKES["full"].marker)}
    assert is_open == {1e12: True, 2e12: True, 4e12: True, 8e12: False, 1.6e13: False}


def test_no_line_joins_points_and_curves_stay_within_the_measured_budgets(smollm2: Laws) -> None:
    axes = draw_frontier(smollm2)
    lines = [line for line in axes.get_lines() if len(xs(line)) > 1]
    assert {line.get_marker() for line in lines} == {"None"}
    assert all(min(xs(line)) >= 1e12 and max(xs(line)) <= 1.6e13 * (1 + 1e-9) for line in lines)
    wide = [line for line in lines if line.get_color() == FRONTIER]
    assert len(wide) == 1


def test_a_curve_does_not_rise_where_the_best_size_is_missing_at_the_top(smollm2: Laws) -> None:
    """The laws see through the gap; a line through the points would rise with the budget."""
    lora = KIND_STROKES["lora"]
    curve = next(
        line for line in draw_frontier(smollm2).get_lines() if line.get_color() == lora.color and len(xs(line)) > 1
    )
    assert (np.diff(ys(curve)) < 0).all()


def test_a_study_too_small_for_laws_has_its_points(one_cell: RunTable) -> None:
    axes = draw_frontier(one_cell)
    cell = one_cell.cells[0]
    assert points(axes, "o") == [(cell.budget, cell.loss, False)]
    assert [text.get_text() for text in axes.texts] == ["1 block"]
    assert len(axes.get_lines()) == 1


def test_the_best_of_a_budget_may_be_open_because_a_cell_is_missing() -> None:
    models = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
    table = table_of(models, ("full",), (1e12, 1e15))
    best = min((cell for cell in table.cells if cell.budget == 1e15), key=lambda cell: cell.loss)
    larger = without(table, *((model, "full", 1e15) for model in models[models.index(best.model) + 1 :]))
    assert [is_open for _, _, is_open in points(draw_frontier(larger), "o")][-1]


def test_it_draws_on_axes_that_are_given_and_leaves_the_settings_alone(one_cell: RunTable) -> None:
    before = dict(plt.rcParams)
    axes = plt.subplots()[1]
    assert draw_frontier(one_cell, axes) is axes
    assert dict(plt.rcParams) == before


def test_an_unknown_lineage_is_refused(smollm2: Laws) -> None:
    with pytest.raises(ConfigError, match="lineage must be"):
        draw_frontier(smollm2, lineage="pythia")
