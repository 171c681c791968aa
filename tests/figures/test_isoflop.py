"""IsoFLOP curves: a parabola where it has its minimum inside, no line over a gap, crosses for what is missing."""

import numpy as np
import pytest

from embudget.errors import FigureError
from embudget.figures.isoflop import draw_isoflop
from embudget.laws import Laws
from tests.figures.made import crosses, points, table_of, without, xs

MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:8", "smollm2-135m:12")


def test_each_point_of_a_kind_with_numbers_has_the_best_number_written(micro: Laws) -> None:
    axes = draw_isoflop(micro, kind="lora")
    best = {}
    for cell in sorted(micro.cells, key=lambda cell: -cell.loss):
        if cell.method.startswith("lora"):
            best[cell.budget, cell.model] = cell.method.removeprefix("lora:")
    assert len(points(axes, "^")) == len(best) == 19
    assert sorted(text.get_text() for text in axes.texts) == sorted(best.values())


def test_full_fine_tuning_has_no_numbers(micro: Laws) -> None:
    assert not draw_isoflop(micro, kind="full").texts


def test_the_best_over_ranks_is_drawn_alone(micro: Laws) -> None:
    lowest: dict[tuple[float, float], float] = {}
    for cell in micro.cells:
        if cell.method.startswith("lora"):
            at = cell.budget, cell.model_params
            lowest[at] = min(lowest.get(at, 9.0), cell.loss)
    drawn = points(draw_isoflop(micro, kind="lora"), "^")
    assert sorted((x, y) for x, y, _ in drawn) == sorted((size, loss) for (_, size), loss in lowest.items())


def test_a_missing_cell_is_crossed_and_no_line_goes_over_it() -> None:
    table = without(table_of(MODELS, ("full",), (1e12, 4e12)), (MODELS[1], "full", 1e12))
    sizes = sorted({cell.model_params for cell in table.cells})
    axes = draw_isoflop(table)
    assert crosses(axes) == [sizes[1]]
    light = next(line.get_color() for line in axes.get_lines() if line.get_label() == "_missing")
    dotted = [
        xs(line)
        for line in axes.get_lines()
        if line.get_color() == light and line.get_marker() == "None" and len(xs(line)) < 60
    ]
    assert dotted == [[sizes[0]], sizes[2:]]


def test_a_parabola_is_drawn_only_with_its_lowest_point_among_the_measured_sizes(smollm2: Laws) -> None:
    axes = draw_isoflop(smollm2, kind="full")
    vertices = points(axes, "+")
    parabolas = [line for line in axes.get_lines() if line.get_marker() == "None" and len(xs(line)) == 60]
    assert len(vertices) == len(parabolas) == 2
    fitted = [(one.model_params, one.loss) for one in smollm2.isoflops["full"].profiles]
    assert np.array(vertices)[:, :2] == pytest.approx(np.array(fitted))


def test_a_kind_that_was_not_measured_is_refused(smollm2: Laws) -> None:
    with pytest.raises(FigureError, match="the study has no runs of bias"):
        draw_isoflop(smollm2, kind="bias")
