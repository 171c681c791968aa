"""Cost of a study: areas that add up to it, what trunks share once, and failed runs visible."""

from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from embudget.errors import FigureError
from embudget.figures.cost import PANELS, TALLEST, added_flops, draw_cost
from embudget.records import RunRecord
from tests.figures.made import curve_to, record_of, xs, ys


def squares(axes: Axes, filled: bool) -> dict[tuple[int, int], float]:
    """Column and row -> area of the filled squares, or of the outlines."""
    found = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        if (to_rgba(patch.get_facecolor())[3] > 0) == filled:
            middle = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2
            found[round(middle[0]), round(middle[1])] = patch.get_width() * patch.get_height()
    return found


def study_of(
    members: int, methods: tuple[str, ...], budgets: tuple[float, ...], name: str = "smollm2-135m:{}"
) -> list[RunRecord]:
    return [
        record_of(name.format(row + 1), method, budget, model_params=1000 * (row + 1), seconds=budget / 1e11)
        for row in range(members)
        for method in methods
        for budget in budgets
    ]


def test_areas_are_shares_of_flop_over_all_panels() -> None:
    study = study_of(2, ("full", "lora:8"), (1e12, 3e12))
    small, large = (squares(axes, True) for axes in draw_cost(study).axes)
    assert set(small) == set(large) == {(0, 0), (1, 0), (0, 1), (1, 1)}
    assert all(large[place] == pytest.approx(3 * small[place]) for place in small)


def test_the_outline_of_a_slow_cell_is_outside_its_square() -> None:
    study = [record_of("smollm2-135m:1", seconds=30.0), record_of("smollm2-135m:2", seconds=10.0)]
    (axes,) = draw_cost(study).axes
    filled, outlines = squares(axes, True), squares(axes, False)
    assert outlines[0, 0] > filled[0, 0] and outlines[0, 1] < filled[0, 1]
    assert outlines[0, 0] == pytest.approx(3 * outlines[0, 1])


def test_without_seconds_there_are_no_outlines_and_no_share_of_time() -> None:
    (axes,) = draw_cost([record_of()]).axes
    assert not squares(axes, False)
    assert axes.get_title(loc="left") == "1e12 FLOP, 1 run\n100% of FLOP"


def test_what_a_trunk_shares_counts_once() -> None:
    short, long = record_of(budget=1e12), record_of(budget=2e12, shared_flops=0.8e12)
    assert added_flops([short, long]) == pytest.approx({short.id: 1e12, long.id: 1.2e12})
    first, second = (next(iter(squares(axes, True).values())) for axes in draw_cost([short, long]).axes)
    assert second == pytest.approx(1.2 * first)


def test_a_run_that_diverged_counts_up_to_where_its_curve_ends() -> None:
    """What the shorter run of a trunk has paid for is not counted again at the longer one."""
    lost: dict[str, Any] = {"status": "diverged", "loss": None, "train_flops": None}
    trunk: dict[str, Any] = {"schedule": "wsd", "decay": 0.2}
    alone = record_of("smollm2-135m:2", loss_curve=((0.1, 3.0), (0.25, 9.0)), **lost)
    short = record_of(budget=1e12, warmup=0.1, **trunk)
    long = record_of(budget=2e12, warmup=0.05, loss_curve=((0.1, 3.0), (0.5, 9.0)), **trunk, **lost)
    never = record_of("smollm2-135m:3", status="failed", error="out of memory", loss=None, train_flops=None)
    added = added_flops([alone, short, long, never])
    assert added == pytest.approx({alone.id: 0.25e12, short.id: 1e12, long.id: 0.2e12, never.id: 0.0})


def test_lost_runs_are_crossed_and_counted_and_cells_without_runs_are_dots() -> None:
    lost = [record_of(method="lora:8", seed=seed, status="failed", loss=None, train_flops=None) for seed in range(3)]
    (axes,) = draw_cost([record_of(), record_of("smollm2-135m:2"), *lost]).axes
    marks = {line.get_marker(): (xs(line), ys(line)) for line in axes.get_lines()}
    assert marks == {"x": ([1.0], [0.0]), ".": ([1.0], [1.0])}
    assert [text.get_text() for text in axes.texts] == ["3"]


def test_many_budgets_share_panels_and_none_is_left_out() -> None:
    budgets = tuple(1e12 * 1.3**step for step in range(40))
    study = study_of(1, ("full",), budgets)
    figure = draw_cost(study)
    told = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(told) == PANELS
    assert sum(int(text.split(" FLOP, ")[1].split(" run")[0]) for text in told) == 40
    areas = [sum(squares(axes, True).values()) for axes in figure.axes]
    assert areas == sorted(areas)


def check_readable(figure: Figure) -> None:
    """Check that the figure fits a page and that no two names at an axis run into one another or leave the figure."""
    width, height = figure.get_size_inches()
    assert width in (3.3, 6.9) and height < TALLEST + 2
    figure.draw_without_rendering()
    for axes in figure.axes:
        names = [*axes.get_yticklabels(), *axes.get_xticklabels()]
        boxes = [name.get_window_extent() for name in names if name.get_text() and name.get_visible()]
        assert all(figure.bbox.x0 <= box.x0 and figure.bbox.y0 <= box.y0 for box in boxes)
        rows = [name.get_window_extent() for name in axes.get_yticklabels()]
        assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(rows))
    left = [axes._left_title.get_window_extent() for axes in figure.axes]  # type: ignore[attr-defined]
    assert not any(one.overlaps(other) for row, one in enumerate(left) for other in left[:row])
    assert all(box.x1 <= figure.bbox.x1 for box in left)


EIGHT = (
    "full", "bias", "freeze:0.25", "freeze:0.5", "lora:8", "lora:32", "lora:32:layers=attention", "lora:128",
)  # fmt: skip
FIVE = (1e12, 2e12, 4e12, 8e12, 1.6e13)


@pytest.mark.parametrize(
    "study",
    [
        study_of(1, ("full",), (1e12,)),
        study_of(3, ("full",), (1e12, 4e12, 1.6e13)),
        study_of(40, ("full",), (1e12,), "somebody/an-embedding-model-with-a-long-name-{}m"),
        study_of(5, EIGHT, FIVE),
        study_of(40, ("full",), FIVE),
    ],
    ids=["1", "9", "40", "200", "200 of 40 members"],
)  # fmt: skip
def test_studies_of_all_sizes_fit_a_page(study: list[RunRecord]) -> None:
    figure = draw_cost(study)
    check_readable(figure)
    largest = max(max(squares(axes, True).values()) for axes in figure.axes)
    assert largest == pytest.approx(0.92**2) and sqrt(largest) < 1


def test_members_of_two_families_with_as_many_blocks_have_their_names() -> None:
    study = [record_of("smollm2-135m:2", lineage="smollm2"), record_of("minilm-l6:2", lineage="minilm retriever")]
    (axes,) = draw_cost(study).axes
    assert [name.get_text() for name in axes.get_yticklabels()] == ["minilm-l6:2", "smollm2-135m:2"]


def test_a_study_of_which_nothing_trained_is_refused() -> None:
    failed = record_of(status="failed", loss=None, train_flops=None)
    with pytest.raises(FigureError, match="needs records of runs that trained"):
        draw_cost([failed])
    with pytest.raises(FigureError, match="needs records of runs that trained"):
        draw_cost([])
    early = record_of(status="diverged", loss=None, train_flops=None, loss_curve=curve_to(1.0))
    assert squares(draw_cost([early]).axes[0], True)
