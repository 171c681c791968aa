"""Finding 1: which kind of method is best at which budget, and how often that changes.

In each draw, at each budget of a grid over the measured ones, every kind is represented by its best rank or fraction at
its best size. Sizes between the measured ones count too, because kinds would take turns wherever the best measured size
jumps. The claims: full fine-tuning is best at the lowest budget, LoRA at the highest, and the best kind changes at most
once.
"""

from collections import Counter
from itertools import groupby

import numpy as np

from embudget.choices import Choices, considered, with_sizes_between
from embudget.choices.table import Array
from embudget.findings.finding import Finding, Mask, assertion, conclude, spread, untested
from embudget.findings.measured import KINDS, Candidates, lacking, measured_kinds, of_kind, shared_budgets
from embudget.laws import Laws

GRID = 41
"""Budgets between the lowest and the highest."""


def switch(laws: Laws, candidates: Candidates) -> Finding:
    """The frontier over the kinds of method."""
    if why := lacking(laws, ("full", "lora")):
        return untested(1, why)
    budgets = shared_budgets(laws, ("full", "lora"))
    if len(budgets) < 2:
        return untested(1, f"full fine-tuning and LoRA share {len(budgets)} budgets, and a switch needs 2")
    between = np.geomspace(budgets[0], budgets[-1], GRID).tolist()
    for kind in ("full", "lora"):
        between = considered(with_sizes_between(of_kind(candidates, kind)), between)
    grid = np.array(between)
    kinds = measured_kinds(laws)
    sizes = [with_sizes_between(of_kind(candidates, kind)) for kind in kinds]
    best = np.argmin([Choices.of(laws.on_study, mine, between).lowest() for mine in sizes], axis=0)
    full, lora = kinds.index("full"), kinds.index("lora")
    changes = best[:, 1:] != best[:, :-1]
    claims = [
        assertion(f"full fine-tuning is best at {grid[0]:.3g} FLOP", best[:, 0] == full),
        assertion(f"LoRA is best at {grid[-1]:.3g} FLOP", best[:, -1] == lora),
        assertion("the best kind of method changes at most once", changes.sum(axis=1) <= 1),
    ]
    paths = [tuple(kinds[place] for place, _ in groupby(row)) for row in best.tolist()]
    return conclude(1, claims, "; ".join([_paths(paths), *_crossover(paths, changes, grid), _measured(laws, budgets)]))


def _paths(paths: list[tuple[str, ...]]) -> str:
    """The most frequent orders of the best kinds from the lowest budget to the highest."""
    common = Counter(paths).most_common(3)
    told = [f"{', then '.join(KINDS[kind] for kind in path)} ({100 * n / len(paths):.0f} %)" for path, n in common]
    return f"best from the lowest to the highest budget: {'; or '.join(told)}"


def _crossover(paths: list[tuple[str, ...]], changes: Mask, grid: Array) -> list[str]:
    """Where the most frequent of the single changes lies."""
    common = Counter(path for path in paths if len(path) == 2).most_common(1)
    if not common:
        return ["no draw has a switch inside the measured budgets; one beyond them is not excluded"]
    (before, after), _ = common[0]
    rows = np.array([path == (before, after) for path in paths])
    middles = np.sqrt(grid[1:] * grid[:-1])
    at = middles[changes[rows].argmax(axis=1)]
    return [f"where {KINDS[after]} follows {KINDS[before]}, the switch is at {spread(at, 2, ' FLOP')}"]


def _measured(laws: Laws, budgets: list[float]) -> str:
    lowest = [min((cell for cell in laws.cells if cell.budget == c), key=lambda cell: cell.loss) for c in budgets]
    runs = [(method, [cell.budget for cell in group]) for method, group in groupby(lowest, lambda cell: cell.method)]
    told = [f"{method} at {at[0]:.3g}" + (f" to {at[-1]:.3g}" if len(at) > 1 else "") + " FLOP" for method, at in runs]
    return f"lowest measured losses: {', '.join(told)}"
