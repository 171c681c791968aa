"""From laws, a budget and constraints to a recipe: which model, which method, how much data, which hyperparameters."""

from embudget.recipe.planning import recommend
from embudget.recipe.values import Choice, Recipe, Rejection

__all__ = ["Choice", "Recipe", "Rejection", "recommend"]
