"""Recipes along a range of budgets."""

from itertools import pairwise

import pytest

from embudget.design import simulate
from embudget.errors import BudgetError, ConfigError, InfeasibleError
from embudget.laws import Laws, fit
from embudget.recipe import curve_warnings, recipe_curve, recommend
from embudget.recipe.curve import parse_curve
from tests.recipe.worlds import BUDGET, NOISY


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


def test_the_points_are_recipes_at_even_steps_with_both_ends(laws: Laws) -> None:
    points = recipe_curve(laws, "1e12", BUDGET)
    budgets = [point.budget for point in points]
    assert budgets[0] == 1e12
    assert budgets[-1] == BUDGET
    assert len(points) == 8  # 4 for a factor of ten, of which there are 1.8
    ratios = [high / low for low, high in pairwise(budgets)]
    assert max(ratios) / min(ratios) < 1.001
    for point in points:
        assert point.recipe == recommend(laws, point.budget)
        assert point.reason is None


def test_points_per_decade_and_wishes_are_heeded(laws: Laws) -> None:
    points = recipe_curve(laws, 1e13, 1e15, points_per_decade=1, max_params=4e6, prefer="small")
    assert [point.budget for point in points] == [1e13, 1e14, 1e15]
    assert {point.recipe.model for point in points if point.recipe} == {"smollm2-135m:1"}
    assert {point.recipe.prefer for point in points if point.recipe} == {"small"}


def test_a_narrow_curve_has_its_two_ends(laws: Laws) -> None:
    assert [point.budget for point in recipe_curve(laws, 1e13, 1.01e13)] == [1e13, 1.01e13]


def test_budgets_without_a_recipe_are_listed_with_their_reason(laws: Laws) -> None:
    points = recipe_curve(laws, 1e10, 1e13, points_per_decade=2)
    assert points[0].recipe is None
    assert "fewer than" in (points[0].reason or "")
    assert points[-1].recipe is not None
    assert "none: no model and method" in str(points[0])
    assert points[-1].recipe.model in str(points[-1])
    far = recipe_curve(laws, 1e15, 1e21, points_per_decade=1)
    assert "unless forced" in (far[-1].reason or "")
    assert recipe_curve(laws, 1e15, 1e21, points_per_decade=1, force=True)[-1].recipe is not None


def test_far_points_say_how_far_and_the_warnings_of_all_are_told_once(laws: Laws) -> None:
    points = recipe_curve(laws, 1e13, 1e17, points_per_decade=1)
    assert "outside" not in str(points[0])
    for point, factor in zip(points[1:], ("6.25", "62.5", "625", "6.25e+03"), strict=True):
        mark = ", not supported" if float(factor) > 16 else ""
        assert str(point).endswith(f", {factor} x outside{mark}")
    near, far = curve_warnings(points)
    methods = [point.recipe.method for point in points if point.recipe]
    assert near == (
        f"at 1e+14 FLOP: the budget is 6.25 times outside those that {methods[1]} was measured at; the further "
        "out, the more often intervals miss"
    )
    assert far == (
        "at 3 budgets from 1e+15 to 1e+17 FLOP, as at 1e+17: these runs do not support a recipe for 1e+17 FLOP: "
        f"6.25e+03 times outside the budgets that {methods[-1]} was measured at, 1e+12 to 1.6e+13 (16 at most)"
    )
    assert [point.recipe.supported for point in points if point.recipe] == [True, True, False, False, False]
    assert curve_warnings(points[:1]) == ()
    (near,) = curve_warnings(points[:2])
    assert near.startswith("at 1e+14 FLOP: the budget is 6.25 times outside ")


def test_warnings_of_points_without_kinds_are_told_by_their_text(laws: Laws) -> None:
    points = recipe_curve(laws, 1e13, 1e17, points_per_decade=1)
    without = [point.model_copy(update={"warning_kinds": ()}) for point in points]
    assert len(curve_warnings(points)) == 2
    assert len(curve_warnings(without)) == 4  # the numbers in the texts differ


def test_a_suite_that_was_not_measured_is_told_once(laws: Laws) -> None:
    points = recipe_curve(laws, 1e13, 1e16, points_per_decade=1, suite="qwen3", min_steps=1)
    assert sum(point.recipe is not None for point in points) > 1
    assert sum("no member of qwen3 was measured" in warning for warning in curve_warnings(points)) == 1


def test_a_curve_without_any_recipe_is_refused(laws: Laws) -> None:
    with pytest.raises(InfeasibleError, match=r"no budget of the curve has a recipe: .* parameters of max_params"):
        recipe_curve(laws, 1e12, 1e14, max_params=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e15", "curve must be two budgets in FLOP such as 1e15:1e19, got '1e15'"),
        ("1e15:1e16:1e17", "curve must be two budgets"),
        ("1e15:", "budget must be a number of FLOP such as 1e17, got ''"),
        ("a:b", "got 'a'"),
        ("1e16:1e15", r"the first budget of a curve must be below the second, got 1e\+16 and 1e\+15"),
        ("1e15:1e15", "must be below the second"),
        ("-1:1e15", "budget must be finite and > 0, got -1"),
        ("0:1e15", "budget must be finite and > 0, got 0"),
        ("1e15:inf", "budget must be finite and > 0, got inf"),
    ],
)
def test_what_is_no_range_of_budgets_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        parse_curve(text)
    assert parse_curve("1e15:1e19") == (1e15, 1e19)


def test_too_few_and_too_many_points_are_refused(laws: Laws) -> None:
    with pytest.raises(ConfigError, match="points_per_decade must be >= 1, got 0"):
        recipe_curve(laws, 1e12, 1e13, points_per_decade=0)
    with pytest.raises(ConfigError, match="at most 1000 points, got 5001"):
        recipe_curve(laws, 1e12, 1e13, points_per_decade=5000)
    with pytest.raises(BudgetError, match="below the second"):
        recipe_curve(laws, 1e13, 1e13)
