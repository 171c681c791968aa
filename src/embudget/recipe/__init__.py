"""From laws, a budget and wishes to a recipe: which model, which method, how much data, which hyperparameters.

recommend          the recipe for a budget
crossing           where the best kind of method changes
wishes, options    what may be asked for; what a budget allows each candidate under these limits
nearest            for a wish that cannot be met: the budget at which it could
batch_size         pairs a step at a budget that was not measured
hyperparameters    rates and the rest for a choice that was not measured
warnings           what to mistrust in a recipe
curve              recipes along budgets
starts             fresh or continued: the best recipe of every lineage
lowest             the lowest loss of each lineage along budgets
untrained          whether training pays at all, beside a start as it is
answer             the recipe of one lineage
values, choice     what a recipe holds
recipe, text       the recipe itself: its run, its file, and how it reads in the terminal
"""

from embudget.choices import Crossover, StartCrossover
from embudget.recipe.choice import BestStart, Choice, Rejection, Untrained
from embudget.recipe.crossing import crossovers
from embudget.recipe.curve import CurvePoint, curve_warnings, recipe_curve
from embudget.recipe.recipe import Recipe
from embudget.recipe.recommend import recommend
from embudget.recipe.wishes import Wishes

__all__ = [
    "BestStart",
    "Choice",
    "Crossover",
    "CurvePoint",
    "Recipe",
    "Rejection",
    "StartCrossover",
    "Untrained",
    "Wishes",
    "crossovers",
    "curve_warnings",
    "recipe_curve",
    "recommend",
]
