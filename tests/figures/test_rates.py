"""Loss against learning rate, and the law of the best rate: vertices are those of the cells, ends are marked."""

from math import exp

import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from embudget.design import TrueRate, World, simulate
from embudget.errors import FigureError
from embudget.figures.cells import part_of
from embudget.figures.rate_law import draw_rate_law
from embudget.figures.rates import draw_rates, rate_curves_of
from embudget.laws import Laws, fit
from embudget.records import RunConfig, RunRecord
from embudget.runs import RunTable
from tests.figures.made import LAW, points, table_of, xs, ys

MODELS = ("pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m")
RATE = TrueRate(at=1e-3, p=-0.4, q=-0.3, curvature=0.05)


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    """Three fixed rates at four sizes and four budgets, of which the best drift through the lowest."""
    world = World(
        truth={"full": LAW, "lora:8": LAW}, models=MODELS, budgets=(1e12, 4e12, 1.6e13, 6.4e13), noise=0.003,
        rate_laws={"full": RATE}, learning_rates={"full": (3e-4, 1e-3, 3e-3)},
    )  # fmt: skip
    return simulate(world, 0)


@pytest.fixture(scope="module")
def laws(records: list[RunRecord]) -> Laws:
    return fit(records)


def parabolas(axes: Axes) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_marker() == "None" and len(xs(line)) == 60]


def test_vertices_are_the_best_rates_of_the_cells(records: list[RunRecord], laws: Laws) -> None:
    tuned = [cell for cell in laws.cells if cell.rates >= 3]
    found = {(one.config.model, one.config.train_flops): one for one in rate_curves_of(part_of(laws), records)}
    assert len(found) == len(tuned) == 16
    for cell in tuned:
        curve = found[cell.model, cell.budget]
        assert curve.vertex.learning_rate == pytest.approx(cell.learning_rate)
        assert exp(curve.vertex.log_loss) == pytest.approx(cell.loss)
    (axes,) = draw_rates(laws, records).axes
    inside = sorted(cell.learning_rate or 0.0 for cell in tuned if cell.rate_inside)
    assert sorted(x for x, _, _ in points(axes, "+")) == pytest.approx(inside)


def test_points_are_relative_to_the_lowest_and_a_parabola_goes_through_three(
    records: list[RunRecord], laws: Laws
) -> None:
    (axes,) = draw_rates(laws, records).axes
    one = rate_curves_of(part_of(laws), records)[0]
    losses = {r.config.learning_rate: r.loss for r in records if r.config == one.config or _beside(r, one.config)}
    assert len(losses) == 3
    base = exp(one.vertex.log_loss)
    assert one.excess == pytest.approx({rate: 100 * (loss / base - 1) for rate, loss in losses.items() if loss})
    for line in parabolas(axes):
        assert min(ys(line)) >= 0


def _beside(record: RunRecord, config: RunConfig) -> bool:
    plain = {"learning_rate": 1.0}
    return record.config.model_copy(update=plain) == config.model_copy(update=plain)


def test_a_best_rate_at_an_end_is_open_and_has_no_parabola(records: list[RunRecord], laws: Laws) -> None:
    (axes,) = draw_rates(laws, records).axes
    ends = sorted(cell.learning_rate or 0.0 for cell in laws.cells if cell.rate_inside is False)
    assert ends
    assert sorted(x for x, _, is_open in points(axes, "o") if is_open) == pytest.approx(ends)
    assert len(parabolas(axes)) <= 16 - len(ends)


def test_a_run_that_diverged_is_crossed(records: list[RunRecord]) -> None:
    config = next(one.config for one in records if one.config.method == "full")
    lost = RunRecord(
        config=config.model_copy(update={"learning_rate": 0.03}), status="diverged", error="the loss became NaN"
    )
    (axes,) = draw_rates(RunTable.of([*records, lost]), [*records, lost]).axes
    assert [x for line in axes.get_lines() if line.get_label() == "_lost" for x in xs(line)] == [0.03]
    assert axes.get_xlim()[1] > 0.03


def test_a_loss_above_the_frame_has_a_caret_in_it(records: list[RunRecord]) -> None:
    high = [
        one.model_copy(update={"loss": 3 * (one.loss or 0.0)}) if one.config.learning_rate == 3e-3 else one
        for one in records
    ]
    (axes,) = draw_rates(RunTable.of(high), high).axes
    carets = [line for line in axes.get_lines() if str(line.get_marker()).startswith("$")]
    assert len([x for line in carets for x in xs(line) if x == 3e-3]) == 16
    assert all(y < axes.get_ylim()[1] for line in carets for y in ys(line))


def test_a_study_of_one_rate_is_refused() -> None:
    table = table_of(MODELS[:2], ("full",), (1e12, 4e12))
    with pytest.raises(FigureError, match="need a cell with 3 rates, and the study has none"):
        draw_rates(table, simulate(World(truth={"full": LAW}, models=MODELS[:2], budgets=(1e12, 4e12)), 0))
    with pytest.raises(FigureError, match="needs 2 cells with a minimum between three rates, and there are 0"):
        draw_rate_law(fit(table_of(MODELS, ("full",), (1e12, 4e12, 1.6e13))))


def test_the_law_is_drawn_at_the_centre_and_points_miss_it_as_the_law_misses_their_cells(laws: Laws) -> None:
    law = laws.rate_law
    assert law is not None
    left, right = draw_rate_law(laws).axes
    size, tokens = (exp(value) for value in law.centre)
    rated = [cell for cell in laws.cells if cell.rate_inside is not None]
    for axes, at in ((left, lambda x: (x, tokens)), (right, lambda x: (size, x))):
        (line,) = [one for one in axes.get_lines() if one.get_marker() == "None"]
        assert ys(line) == pytest.approx([law.predict("full", *at(x)) for x in xs(line)])
        drawn = sorted(y / law.predict("full", *at(x)) for x, y, _ in points(axes, "o"))
        missed = sorted((c.learning_rate or 0.0) / law.predict("full", c.model_params, c.tokens) for c in rated)
        assert drawn == pytest.approx(missed)


def test_a_bound_is_open_and_its_arrow_points_to_where_the_best_may_lie(laws: Laws) -> None:
    left, _ = draw_rate_law(laws).axes
    ends = [cell for cell in laws.cells if cell.rate_inside is False]
    assert sum(is_open for _, _, is_open in points(left, "o")) == len(ends)
    ways = sorted(text.xyann[1] > 0 for text in left.texts if isinstance(text, Annotation))
    assert ways == sorted(cell.learning_rate == cell.highest_rate for cell in ends)


def test_methods_have_a_row_by_kind_and_a_key_each(smollm2: Laws) -> None:
    figure = draw_rate_law(smollm2)
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == ["full", "freeze", "lora"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert smollm2.rate_law is not None
    assert set(names) == {*smollm2.rate_law.methods, "best at an end"}
