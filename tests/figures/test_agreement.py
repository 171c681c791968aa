"""Forecasts against measurements: which budgets are held out, that laws did not see them, and what the bars hold."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from embudget.figures.agreement import draw_agreement, forecasts_of
from embudget.laws import Laws, fit
from embudget.runs import RunTable
from tests.figures.made import table_of, with_cells

MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
BUDGETS = (1e12, 4e12, 1.6e13, 6.4e13)


@pytest.fixture(scope="module")
def table() -> RunTable:
    return table_of(MODELS, ("full", "lora:8"), BUDGETS)


def texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_the_largest_budget_of_four_is_held_out_and_its_losses_are_not_seen(table: RunTable) -> None:
    """A loss that is wrong by half at a held-out budget moves no prediction, and misses its bar."""
    laws = fit(table)
    found = forecasts_of(laws)
    assert {cell.budget for cell, held in zip(found.cells, found.held_out, strict=True) if held} == {BUDGETS[-1]}
    assert found.held_out.sum() == 6
    wrong = [c.model_copy(update={"loss": 1.5 * c.loss}) if c.budget == BUDGETS[-1] else c for c in table.cells]
    moved = forecasts_of(laws.model_copy(update={"table": with_cells(table, wrong)}))
    assert moved.predicted == pytest.approx(found.predicted, rel=1e-9)
    assert found.within >= 5
    assert moved.within == 0


def test_held_out_points_have_bars_and_the_legend_counts_those_that_hold_their_loss(table: RunTable) -> None:
    laws = fit(table)
    axes = draw_agreement(laws)
    bars = [path for one in axes.collections if isinstance(one, LineCollection) for path in one.get_paths()]
    assert len(bars) == 6
    assert f"held out: {forecasts_of(laws).within} of 6 in their bars" in texts(axes)
    ends = [float(x) for path in bars for x in np.asarray(path.vertices)[:, 0]]
    assert axes.get_xlim()[0] < min(ends)
    assert max(ends) < axes.get_xlim()[1]


def test_two_budgets_of_six_are_held_out() -> None:
    found = forecasts_of(fit(table_of(MODELS, ("full",), (1e12, 2e12, 4e12, 8e12, 1.6e13, 3.2e13))))
    assert {c.budget for c, held in zip(found.cells, found.held_out, strict=True) if held} == {1.6e13, 3.2e13}


def test_with_three_budgets_all_points_are_of_the_fit_and_the_figure_says_so() -> None:
    axes = draw_agreement(fit(table_of(MODELS, ("full",), BUDGETS[:3])))
    assert texts(axes) == ["full", "fitted: too few budgets or runs to hold out"]
    assert not [one for one in axes.collections if isinstance(one, LineCollection) and one.get_paths()]


def test_both_axes_are_the_same_and_every_point_is_inside(smollm2: Laws) -> None:
    axes = draw_agreement(smollm2)
    assert axes.get_xlim() == axes.get_ylim()
    low, high = axes.get_xlim()
    for line in axes.get_lines():
        data = np.asarray(line.get_xydata(), dtype=float)
        assert ((data >= low) & (data <= high)).all()
    count = sum(len(np.asarray(line.get_xydata())) for line in axes.get_lines() if line.get_marker() != "None")
    assert count == len(smollm2.cells)
