"""Loss curves: whose run is drawn, what is smoothed, and which budgets are missing."""

import numpy as np
import pytest

from embudget.errors import FigureError
from embudget.figures.curves import MOST, draw_curves, smoothed
from embudget.records import GroupScore, RunRecord
from embudget.runs import RunTable
from tests.figures.made import crosses, curve_to, points, record_of, xs, ys

BUDGETS = (1e12, 4e12, 1.6e13)


def study_of(
    methods: tuple[str, ...] = ("full", "bias", "lora:8"), budgets: tuple[float, ...] = BUDGETS
) -> list[RunRecord]:
    """Two rates of each method at each budget, the second of them better."""
    return [
        record_of(
            "smollm2-135m:2", method, budget, learning_rate=rate, loss=4.0 - 0.1 * row - 0.05 * better,
            loss_curve=curve_to(1.0 - 0.05 * better, points=40 + better),
        )
        for method in methods
        for row, budget in enumerate(budgets)
        for better, rate in enumerate((1e-3, 2e-3))
    ]  # fmt: skip


def test_each_kind_has_the_best_run_of_each_budget() -> None:
    study = study_of()
    figure = draw_curves(RunTable.of(study), study)
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == ["full", "bias", "lora"]
    for axes, marker in zip(above, "oD^", strict=True):
        drawn = [(x, round(y, 6)) for x, y, _ in points(axes, marker)]
        assert drawn == [(budget, round(3.95 - 0.1 * row, 6)) for row, budget in enumerate(BUDGETS)]
    for axes in below:
        assert [(len(xs(line)), xs(line)[-1]) for line in axes.get_lines()] == [(41, budget) for budget in BUDGETS]


def test_a_budget_that_other_kinds_have_is_crossed() -> None:
    study = [run for run in study_of() if (run.config.method, run.config.train_flops) != ("bias", 4e12)]
    figure = draw_curves(RunTable.of(study), study)
    assert [crosses(axes) for axes in figure.axes[:3]] == [[], [4e12], []]


def test_a_budget_whose_runs_all_diverged_is_crossed() -> None:
    study = [
        run.model_copy(update={"status": "diverged", "loss": None})
        if (run.config.method, run.config.train_flops) == ("full", 1.6e13)
        else run
        for run in study_of()
    ]
    assert crosses(draw_curves(RunTable.of(study), study).axes[0]) == [1.6e13]


def test_of_many_budgets_some_are_drawn_both_ends_among_them() -> None:
    budgets = tuple(np.geomspace(1e12, 1e15, 20).tolist())
    study = study_of(("full",), budgets)
    figure = draw_curves(RunTable.of(study), study)
    assert figure.axes[0].get_title() == "full, 8 of 20 budgets"
    drawn = [x for x, _, _ in points(figure.axes[0], "o")]
    assert len(drawn) == MOST and (drawn[0], drawn[-1]) == (budgets[0], budgets[-1])


def test_the_error_of_a_held_out_loss_is_a_bar() -> None:
    groups = {name: GroupScore(10, loss, 0.5) for name, loss in (("a/x", 2.5), ("a/y", 3.5))}
    run = record_of(loss=3.0, groups=groups, loss_curve=curve_to(1.0))
    (bar,) = [line for line in draw_curves(RunTable.of([run]), [run]).axes[0].get_lines() if len(xs(line)) == 2]
    assert ys(bar) == pytest.approx([2.5, 3.5])


def test_a_run_of_one_step_is_a_point() -> None:
    run = record_of(loss=3.0, loss_curve=((1.1, 2.0),))
    (line,) = draw_curves(RunTable.of([run]), [run]).axes[1].get_lines()
    assert (line.get_marker(), xs(line), ys(line)) == ("o", [1.1e12], [2.0])


def test_runs_without_a_course_are_refused() -> None:
    run = record_of()
    with pytest.raises(FigureError, match="the course of their training"):
        draw_curves(RunTable.of([run]), [run])


def test_smoothing_leaves_a_line_alone_and_finds_a_curve_under_noise() -> None:
    x = np.linspace(0, 5, 80)
    assert smoothed(x, 3 - 0.5 * x) == pytest.approx(3 - 0.5 * x)
    truth = np.exp(-x)
    noisy = truth + np.random.default_rng(0).normal(0, 0.1, len(x))
    assert np.sqrt(np.mean((smoothed(x, noisy) - truth) ** 2)) < 0.5 * np.sqrt(np.mean((noisy - truth) ** 2))


def test_smoothed_values_stay_within_those_that_were_measured() -> None:
    """A line that is fitted to few points at the end would else lead below a loss of 0."""
    x = np.log(np.arange(1.0, 9.0))
    y = np.array([3.0, 2.0, 1.0, 0.9, 0.8, 0.5, 0.1, 0.01])
    assert (smoothed(x, y) >= 0.01).all()
    assert smoothed([1.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]).shape == (4,)
