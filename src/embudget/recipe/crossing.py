"""At which budgets does the best kind of method change, among choices that keep to the wishes?"""

from collections.abc import Sequence
from typing import Unpack

from embudget.choices import Crossover, budgets_between, crossovers_of
from embudget.errors import BudgetError
from embudget.flops import parse_budget
from embudget.laws import Laws
from embudget.recipe.lowest import BEYOND, span_near
from embudget.recipe.options import MAX_EXTRAPOLATION, Question
from embudget.recipe.wishes import Wishes
from embudget.suite import ModelShape


def crossovers(
    laws: Laws,
    members: Sequence[ModelShape] | None = None,
    low: float | None = None,
    high: float | None = None,
    **wishes: Unpack[Wishes],
) -> tuple[Crossover, ...]:
    """The budgets at which the best kind of method changes, then the pairs of kinds that cannot be told apart.

    Args:
        laws: fitted to a study, or built-in ones.
        members: to choose from; by default the measured models and the built-in suites that hold all of them.
        low: the smallest budget, FLOP; by default the smallest measured.
        high: the largest; by default 16 times the largest measured, and never more than a million times that.
        wishes: that the choices keep to, as for `recommend`.

    Raises:
        BudgetError: a budget is no positive number, or ``low`` is not below ``high``.
        ModelError: a measured model is not there any more.
        ConfigError: a wish breaks its rule, or no members are given and a measured model is no known member.
    """
    question = Question.of(laws, wishes, members=members)
    measured = laws.table.budgets[0], laws.table.budgets[-1]
    return crossovers_of(question.choices(budgets_between(*span_of(laws, low, high))), measured)


def span_of(laws: Laws, low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """The budgets between which crossovers are sought, FLOP; errors as `crossovers`."""
    smallest, largest = laws.table.budgets[0], laws.table.budgets[-1]
    first = smallest if low is None else parse_budget(low)
    last = min(BEYOND * largest if high is None else parse_budget(high), MAX_EXTRAPOLATION * largest)
    if first >= last:
        raise BudgetError(f"the smallest budget of crossovers must be below the largest, got {first:g} and {last:g}")
    return first, last


def crossovers_near(question: Question, budget: float) -> tuple[Crossover, ...]:
    """Those of the choices that keep to the wishes, from the budget or the smallest measured to well beyond both."""
    measured = question.laws.table.budgets[0], question.laws.table.budgets[-1]
    return crossovers_of(question.choices(budgets_between(*span_near([question], budget))), measured)
