"""For a wish that cannot be met: the nearest budget at which it could.

The budgets at which a candidate is feasible are sought on a logarithmic grid of training FLOP, from the wished budget
outwards and up to a million times outside the measured ones. The edge that faces the wished budget is then found by
bisection.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import ceil, floor, log10, sqrt

import numpy as np

from embudget.choices import Candidate, Choices
from embudget.laws import Laws
from embudget.recipe.options import MAX_EXTRAPOLATION, Option, Question, unsuitable

_STEPS_PER_DECADE, _BISECTIONS, _MOST_DIGITS = 8, 12, 15


def nearest_feasible(question: Question, budget: float) -> str:
    """In words, the nearest budget at which a candidate keeps to the limits, and the best one there."""
    distance, total = float("inf"), None
    grid = _grid(question.laws)
    for candidate in question.candidates:
        if unsuitable(candidate, question.limits) is not None:
            continue
        own = question.due(candidate, budget)
        found = _nearest(question, own, candidate, grid, distance)
        if found is not None:
            distance, total = abs(log10(found / own)), found * budget / own
    if total is None:
        return f"no budget within {MAX_EXTRAPOLATION:g} times the measured ones meets this"
    text, there = _rounded(question, total)
    best = there.candidates[there.best()[0]]
    return f"at {text} it would hold: {best.model} {best.method}"


def _nearest(
    question: Question, budget: float, candidate: Candidate, grid: Sequence[float], within: float
) -> float | None:
    """The feasible budget of one candidate nearest to ``budget``, if less than ``within`` decades away."""
    serve_flops = 2.0 * candidate.model_params * question.limits.serve_tokens

    @cache
    def fits(train_flops: float) -> bool:
        return isinstance(question.option(candidate, serve_flops + train_flops), Option)

    def decades(train_flops: float) -> float:
        return abs(log10((serve_flops + train_flops) / budget))

    for place in sorted(range(len(grid)), key=lambda place: decades(grid[place])):
        inside = grid[place]
        if decades(inside) >= within + 1 / _STEPS_PER_DECADE:
            return None
        if not fits(inside):
            continue
        above = serve_flops + inside > budget
        outside = grid[max(0, place - 1)] if above else grid[min(len(grid) - 1, place + 1)]
        wished = budget - serve_flops
        if wished > 0 and (wished > outside) == above:  # the wished budget itself, which is not feasible, is nearer
            outside = wished
        edge = _bisected(inside, outside, fits)
        return serve_flops + edge if decades(edge) < within else None
    return None


def _grid(laws: Laws) -> list[float]:
    low, high = laws.table.budgets[0] / MAX_EXTRAPOLATION, laws.table.budgets[-1] * MAX_EXTRAPOLATION
    steps = ceil(_STEPS_PER_DECADE * log10(high / low))
    return [low * (high / low) ** (step / steps) for step in range(steps + 1)]


def _bisected(inside: float, outside: float, fits: Callable[[float], bool]) -> float:
    """The feasible number next to the edge between a feasible and an infeasible one."""
    for _ in range(_BISECTIONS):
        middle = sqrt(inside * outside)
        inside, outside = (middle, outside) if fits(middle) else (inside, middle)
    return inside


def _rounded(question: Question, budget: float) -> tuple[str, Choices]:
    """A feasible budget with as few digits as it takes, as text, and the choices there."""
    for digits in range(1, _MOST_DIGITS):
        unit = 10.0 ** (floor(log10(budget)) - digits)
        for whole in (floor(budget / unit), ceil(budget / unit)):
            text = f"{whole * unit:.{digits + 1}g}"
            there = question.choices([float(text)])
            if np.isfinite(there.tokens).any():
                return _told(question, text), there
    return _told(question, repr(budget)), question.choices([budget])


def _told(question: Question, budget: str) -> str:
    return f"{budget} FLOP" if question.clock is None else question.told(float(budget))
