"""Recipes along a grid of budgets: how the best model, method and loss move as the budget grows."""

from collections.abc import Sequence
from math import log10
from typing import Unpack

import numpy as np
from pydantic import Field, PositiveFloat

from embudget.errors import BudgetError, ConfigError, InfeasibleError
from embudget.flops import parse_budget
from embudget.frozen import Frozen
from embudget.laws import Laws
from embudget.number import read_number
from embudget.recipe.answer import answer
from embudget.recipe.options import Question
from embudget.recipe.recipe import Recipe
from embudget.recipe.starts import best_start
from embudget.recipe.wishes import Wishes, limits_of

POINTS_PER_DECADE = 4
MOST_POINTS = 1000
"""Points of one curve at most, so that a slip in a budget does not compute for hours."""


class CurvePoint(Frozen):
    """The recipe at one budget, or why there is none."""

    budget: PositiveFloat = Field(description="FLOP, what serving takes included")
    recipe: Recipe | None = None
    reason: str | None = Field(default=None, description="why no choice is feasible; None where there is a recipe")
    warning_kinds: tuple[str, ...] = Field(
        default=(), description="of the recipe's warnings, in their order; those of a kind differ by numbers and names"
    )

    def __str__(self) -> str:
        """One line, for a person."""
        if self.recipe is None:
            return f"{self.budget:9.2e}  none: {self.reason}"
        recipe, (low, high) = self.recipe, self.recipe.predicted_interval
        others = f", {len(recipe.flat)} as good" if recipe.flat else ""
        far = f", {recipe.extrapolation:.3g} x outside" if recipe.extrapolation > 1 else ""
        far += "" if recipe.supported else ", not supported"
        beside = recipe.untrained
        far += "" if beside is None else f"; training does not pay, {beside.model} as it is has {beside.loss:.3f}"
        return (
            f"{self.budget:9.2e}  {recipe.model} {recipe.method} on {recipe.tokens:.3g} tokens: "
            f"{recipe.predicted_loss:.3f} ({low:.3f} to {high:.3f}){others}{far}"
        )


def recipe_curve(
    laws: Laws,
    low: str | float,
    high: str | float,
    *,
    points_per_decade: int = POINTS_PER_DECADE,
    suite: str | None = None,
    **wishes: Unpack[Wishes],
) -> tuple[CurvePoint, ...]:
    """Find the recipes at budgets evenly spaced in their logarithm, both ends included.

    A budget without a feasible choice has a point with the reason instead of a recipe. A recipe that the measured runs
    do not support, because it lies too far from them, is there all the same, and marked as not ``supported``. To draw
    the curve use `embudget.write_curve`.

    Args:
        laws: fitted to a study, or built-in ones.
        low: the smallest budget, FLOP.
        high: the largest, FLOP.
        points_per_decade: budgets in a factor of ten.
        suite: whose members are considered, as for `recommend`.
        wishes: constraints and what to prefer, as for `recommend`.

    Raises:
        BudgetError: an end is no positive number, ``low`` is not below ``high``, or the points are too many.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: a wish breaks its rule.
        InfeasibleError: no choice meets the constraints at any of the budgets.

    Example:
        >>> import embudget as eb
        >>> laws = eb.find_laws("smollm2")
        >>> points = eb.recipe_curve(laws, 1e13, 1e15, points_per_decade=1)
        >>> [point.recipe.model for point in points if point.recipe]
        ['smollm2-135m:2', 'smollm2-135m:2', 'smollm2-135m:12']
    """
    budgets = _budgets(*_ordered(parse_budget(low), parse_budget(high)), points_per_decade)
    limits = limits_of(wishes)
    question = None if laws.others else Question.of(laws, wishes, suite)
    points = []
    for budget in budgets:
        try:
            if question is None:
                recipe, cautions = best_start(laws, budget, suite, wishes, far=limits.force)
            else:
                recipe, cautions = answer(question, budget, far=limits.force)
            kinds = tuple(caution.kind for caution in cautions)
            points.append(CurvePoint(budget=budget, recipe=recipe, warning_kinds=kinds))
        except (InfeasibleError, BudgetError) as error:
            points.append(CurvePoint(budget=budget, reason=str(error)))
    if all(point.recipe is None for point in points):
        raise InfeasibleError(
            f"no budget of the curve has a recipe: {points[0].reason}"
            + (f"; at the other end: {points[-1].reason}" if points[-1].reason != points[0].reason else "")
        )
    return tuple(points)


def curve_warnings(points: Sequence[CurvePoint]) -> tuple[str, ...]:
    """The warnings of all recipes, each kind once, with the budgets at which it holds.

    Where its texts differ, that of the point farthest outside the measured budgets is given.
    """
    alike: dict[str, list[tuple[float, float, str]]] = {}
    for point in points:
        recipe = point.recipe
        texts = () if recipe is None else recipe.warnings
        for kind, text in zip(point.warning_kinds or texts, texts, strict=True):  # a point may come without kinds
            assert recipe is not None
            alike.setdefault(kind, []).append((recipe.extrapolation, point.budget, text))
    found = []
    for same in alike.values():
        budgets = [budget for _, budget, _ in same]
        span = f"{budgets[0]:.3g} FLOP"
        if len(same) > 1:
            span = f"{len(same)} budgets from {budgets[0]:.3g} to {budgets[-1]:.3g} FLOP"
        _, budget, text = max(same)
        example = f", as at {budget:.3g}" if len({warning for *_, warning in same}) > 1 else ""
        found.append(f"at {span}{example}: {text}")
    return tuple(found)


def parse_curve(text: str) -> tuple[float, float]:
    """Read the ends of a curve: ``1e15:1e19``.

    Raises:
        BudgetError: not two budgets with a colon between, or the first is not below the second.
    """
    parts = text.split(":")
    if len(parts) != 2:
        raise BudgetError(f"curve must be two budgets in FLOP such as 1e15:1e19, got {text!r}")
    return _ordered(*map(parse_budget, parts))


def _ordered(low: float, high: float) -> tuple[float, float]:
    if low >= high:
        raise BudgetError(f"the first budget of a curve must be below the second, got {low:g} and {high:g}")
    return low, high


def _budgets(low: float, high: float, points_per_decade: int) -> list[float]:
    read_number(points_per_decade, "points_per_decade", least=1)
    steps = max(1, round(points_per_decade * (log10(high) - log10(low))))
    if steps >= MOST_POINTS:
        raise ConfigError(f"a curve has at most {MOST_POINTS} points, got {steps + 1}: lower points_per_decade")
    inner = [float(f"{budget:.4g}") for budget in np.geomspace(low, high, steps + 1)[1:-1]]
    return [low, *(budget for budget in inner if low < budget < high), high]
