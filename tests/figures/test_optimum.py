"""The best choice against budget: points are the best cells, and what was not measured looks different."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embudget.figures.cells import lowest_by_budget
from embudget.figures.optimum import FURTHER, draw_optimum
from embudget.laws import Laws, fit
from embudget.methods import kind_of
from embudget.palette import KIND_STROKES
from embudget.runs import RunTable
from tests.figures.made import points, table_of, with_cells, xs, ys

MODELS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12))


@pytest.fixture(scope="module")
def drawn(smollm2: Laws) -> Figure:
    return draw_optimum(smollm2)


def lines_of(axes: Axes) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_marker() == "None" and len(xs(line)) > 1]


def test_points_are_size_tokens_and_steps_of_the_best_cells(drawn: Figure, smollm2: Laws) -> None:
    best = lowest_by_budget(smollm2.cells)
    for axes, name in zip(drawn.axes, ("model_params", "tokens", "steps"), strict=True):
        found = [point for stroke in KIND_STROKES.values() for point in points(axes, stroke.marker)]
        assert sorted((x, y) for x, y, _ in found) == [(cell.budget, getattr(cell, name)) for cell in best]
        kinds = {kind_of(cell.method): KIND_STROKES[kind_of(cell.method)].marker for cell in best}
        assert all(points(axes, marker) for marker in kinds.values())


def test_lines_are_pale_beyond_the_measured_budgets_alone(drawn: Figure, smollm2: Laws) -> None:
    last = smollm2.table.budgets[-1]
    for axes in drawn.axes:
        for line in lines_of(axes):
            assert line.get_alpha() == (0.45 if min(xs(line)) > last else 1.0)
            assert line.get_alpha() == 0.45 or max(xs(line)) <= last * 1.2  # to the first budget beyond, without a gap
        assert max(max(xs(line)) for line in lines_of(axes)) == pytest.approx(FURTHER * last)
        assert axes.get_xlim()[1] > FURTHER * last


def test_a_line_is_not_joined_where_its_kind_changes(drawn: Figure) -> None:
    for axes in drawn.axes:
        spans: dict[str, list[tuple[float, float]]] = {}
        for line in lines_of(axes):
            spans.setdefault(str(line.get_color()), []).append((min(xs(line)), max(xs(line))))
        first, second = (sorted(one) for one in spans.values())
        assert len(spans) == 2
        assert not any(a < d and c < b for a, b in first for c, d in second)


def test_the_line_finds_the_best_size_of_the_true_law() -> None:
    """Chinchilla's optimum of 6 N D = C; a table of 35 cells and 1 % noise has it within 30 %."""
    table = table_of(MODELS, ("full",), (1e12, 4e12, 1.6e13, 6.4e13, 2.56e14))
    axes = draw_optimum(fit(table)).axes[0]
    A, a, B, b = 300, 0.35, 250, 0.42
    per_size = np.mean([cell.flops_per_token / cell.model_params for cell in table.cells])
    tried = [(x, y) for line in lines_of(axes) for x, y in zip(xs(line), ys(line), strict=True) if x > 4e13]
    assert tried
    for budget, size in tried:
        true = (a * A / (b * B)) ** (1 / (a + b)) * (budget / per_size) ** (b / (a + b))
        assert abs(np.log(size / true)) < 0.3


def test_a_study_too_small_for_laws_has_its_points_alone(one_cell: RunTable) -> None:
    for axes in draw_optimum(one_cell).axes:
        assert not lines_of(axes)
        assert [is_open for _, _, is_open in points(axes, "o")] == [False]


def test_steps_have_no_panel_where_no_run_says_them(one_cell: RunTable) -> None:
    silent = with_cells(one_cell, [cell.model_copy(update={"steps": None}) for cell in one_cell.cells])
    assert len(draw_optimum(silent).axes) == 2
