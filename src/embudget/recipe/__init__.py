"""From laws, a budget and constraints to a recipe: which model, which method, how much data, which hyperparameters.

planning                    recommend: the parts below put together
members, options            which models and methods there are; which of them a budget allows, under the wishes
losses, flat                what the laws predict of them; which are as good as the best, and which to prefer
feasible                    for a wish that cannot be met: the budget at which it could
hyperparameters             batch size and rates of a choice that was not measured
crossover                   the budgets at which the best kind of method changes
curve                       recipes along a grid of budgets
values, wishes, warnings    what a recipe holds, what may be asked of it, what to mistrust in it
"""

from embudget.recipe.crossover import crossovers
from embudget.recipe.curve import CurvePoint, curve_warnings, recipe_curve
from embudget.recipe.planning import recommend
from embudget.recipe.values import Choice, Crossover, Recipe, Rejection
from embudget.recipe.wishes import Wishes

__all__ = [
    "Choice",
    "Crossover",
    "CurvePoint",
    "Recipe",
    "Rejection",
    "Wishes",
    "crossovers",
    "curve_warnings",
    "recipe_curve",
    "recommend",
]
