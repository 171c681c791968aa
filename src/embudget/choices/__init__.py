"""Members x methods x budgets, by the laws' draws. Recipes, findings, the frontier and the report all stand on it.

candidates    what a budget may be spent on: a method on a member of a suite, or on a measured size
table         candidates at budgets with their losses: the best of each budget, and what cannot be told from it
crossovers    where the best kind of method changes, and how well that is known
"""

from embudget.choices.candidates import (
    Candidate,
    base_of,
    candidates_of,
    considered,
    evenly,
    in_order,
    measured_candidates,
    members_for,
    methods_in_order,
    unknown_models,
    with_sizes_between,
)
from embudget.choices.crossovers import Crossover, StartCrossover, crossovers_by, crossovers_of, overtakings
from embudget.choices.table import Choices, Predicts, budgets_between

__all__ = [
    "Candidate",
    "Choices",
    "Crossover",
    "Predicts",
    "StartCrossover",
    "base_of",
    "budgets_between",
    "candidates_of",
    "considered",
    "crossovers_by",
    "crossovers_of",
    "evenly",
    "in_order",
    "measured_candidates",
    "members_for",
    "methods_in_order",
    "overtakings",
    "unknown_models",
    "with_sizes_between",
]
