"""Ties: the choices of the laws' flat set, the interval of each difference, and what was measured beside it."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes

from embudget.choices import Choices, measured_candidates
from embudget.errors import FigureError
from embudget.figures.ties import ROWS, draw_ties, flats_of
from embudget.laws import Laws, fit
from embudget.palette import KIND_STROKES
from tests.figures.made import table_of, with_cells, xs


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def test_the_ties_of_a_budget_are_those_of_the_choices(smollm2: Laws) -> None:
    choices = Choices.of(
        smollm2.on_study, measured_candidates(smollm2.cells, smollm2.surface.step), smollm2.table.budgets
    )
    for place, flat in enumerate(flats_of(smollm2)):
        rows = np.flatnonzero(choices.ties()[:, place]).tolist()
        assert {tie.candidate for tie in flat.ties} == {choices.candidates[row] for row in rows}
        assert [tie.worse for tie in flat.ties] == sorted(tie.worse for tie in flat.ties)
        assert flat.ties[0][1:] == (0.0, 0.0, 0.0, 0.0)
        assert all(tie.low < tie.worse < tie.high for tie in flat.ties[1:])


def test_a_tie_has_its_measured_loss_relative_to_that_of_the_best(smollm2: Laws) -> None:
    flat = flats_of(smollm2)[-1]
    cells = {(cell.method, cell.model): cell.loss for cell in smollm2.cells if cell.budget == flat.budget}
    best = flat.ties[0].candidate
    for tie in flat.ties:
        loss = cells[str(tie.candidate.method), tie.candidate.model]
        assert tie.measured == pytest.approx(100 * (loss / cells[str(best.method), best.model] - 1))


def test_each_panel_lists_its_ties_within_the_frame(smollm2: Laws) -> None:
    figure = draw_ties(smollm2)
    figure.draw_without_rendering()
    assert [axes.get_title().partition(" ")[0] for axes in figure.axes] == ["1e12", "2e12", "4e12", "8e12", "1.6e13"]
    for axes, flat in zip(figure.axes, flats_of(smollm2), strict=True):
        assert len(texts(axes)) == len(flat.ties)
        assert axes.get_title().endswith(f"{len(flat.ties)} of {flat.considered}")
        boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert all(box.x0 >= 0 for box in boxes)
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))
        low, high = axes.get_xlim()
        assert all(low <= x <= high for line in axes.get_lines() for x in xs(line) if line.get_marker() != "None")


def test_long_names_leave_room_for_the_panels_and_stay_in_the_figure(smollm2: Laws) -> None:
    names = {model: f"/models/{place}-some-long-name-of-a-model" for place, model in enumerate(smollm2.table.models)}
    cells = [cell.model_copy(update={"model": names[cell.model]}) for cell in smollm2.table.cells]
    renamed = smollm2.model_copy(update={"table": with_cells(smollm2.table, cells)})
    renamed.__dict__.pop("cells", None)
    figure = draw_ties(renamed)
    figure.draw_without_rendering()
    spec = figure.axes[0].get_subplotspec()
    assert spec is not None
    assert spec.get_gridspec().ncols == 2
    width = figure.bbox.width
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in (axes.title, axes.xaxis.label, *axes.get_yticklabels())]
        assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)


def test_what_was_not_measured_has_no_tick(smollm2: Laws) -> None:
    flat = flats_of(smollm2)[-1]
    gone = flat.ties[1].candidate
    left = [c for c in smollm2.cells if (c.model, c.method, c.budget) != (gone.model, str(gone.method), flat.budget)]
    lacking = smollm2.model_copy(update={"table": with_cells(smollm2.table, left)})
    lacking.__dict__.pop("cells", None)  # what a copy keeps of the laws it was made from
    found = {tie.candidate[:3]: tie.measured for tie in flats_of(lacking)[-1].ties}
    assert found[gone[:3]] is None
    assert sum(measured is None for measured in found.values()) == 1


def test_a_long_list_is_cut_and_says_by_how_many() -> None:
    """Ranks of LoRA that are all by one law tie, since nothing tells them apart but their FLOP."""
    methods = tuple(f"lora:{rank}" for rank in range(1, 19))
    laws = fit(table_of(("smollm2-135m:1", "smollm2-135m:4"), methods, (1e12, 4e12, 1.6e13)), draws=50)
    figure = draw_ties(laws)
    for axes, flat in zip(figure.axes, flats_of(laws), strict=True):
        assert len(flat.ties) > ROWS
        assert texts(axes)[-1] == f"and {len(flat.ties) - ROWS} more"
        marks = [line for line in axes.get_lines() if line.get_marker() == KIND_STROKES["lora"].marker]
        assert len(marks) == ROWS


def test_one_choice_has_nothing_to_tie_with(smollm2: Laws) -> None:
    one = [cell for cell in smollm2.cells if (cell.method, cell.model) == ("full", "smollm2-135m:2")]
    lone = smollm2.model_copy(update={"table": with_cells(smollm2.table, one)})
    lone.__dict__.pop("cells", None)
    with pytest.raises(FigureError, match="ties need a budget with two choices"):
        draw_ties(lone)
