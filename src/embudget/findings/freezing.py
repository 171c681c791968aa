"""Findings 3 and 4: frozen blocks against full fine-tuning, and how many blocks are best left active.

3 compares at equal model and budget, the best fraction below 1 against full fine-tuning. Freezing may win where the
model is large for the budget: where its size, in logs, lies further up among the measured sizes than the budget does
among the budgets. A win anywhere else fails the claim for that model and budget.

4 takes in each draw, for each model and budget, the minimum of a parabola of the log loss over log fraction, at least 3
of which were measured, and its slope over log N at equal budgets. Where it lies at the same end for all models, its
move was not seen.
"""

import numpy as np

from embudget.findings.choices import Choices, lacking, shared_budgets, value_of
from embudget.findings.finding import Assertion, Finding, Mask, assertion, judge, percent, spread, untested
from embudget.laws import Laws
from embudget.laws.forms import Array

MIN_FRACTIONS = 3


def freezing(laws: Laws, choices: Choices) -> Finding:
    """Block freezing against full fine-tuning."""
    if why := lacking(laws, ("full", "freeze")):
        return untested(3, why)
    full, frozen = choices.of_kind("full"), choices.of_kind("freeze")
    frozen = frozen.where(np.array([value_of(name) < 1 for name in frozen.method.tolist()], dtype=bool))
    budgets = shared_budgets(laws, ("full", "freeze"))
    sizes = sorted(set(full.size.tolist()) & set(frozen.size.tolist()))
    if not len(frozen.method):
        return untested(3, "the study has no runs with a fraction below 1")
    if not budgets or not sizes:
        return untested(3, "full fine-tuning and block freezing have no model at a common budget")
    excess = _excess(full, frozen, sizes, budgets)
    known = np.asarray(np.isfinite(excess).all(axis=0))
    excepted = _place(sizes)[:, None] > _place(budgets) + 1e-9
    if len(sizes) < 2 or len(budgets) < 2 or not (known & ~excepted).any():
        return untested(3, "the exception for large models at small budgets needs 2 sizes at 2 budgets")
    claims = [
        assertion(f"freezing is worse for {sizes[i]:.2g} parameters at {budgets[j]:.3g} FLOP", excess[:, i, j] > 0)
        for i, j in np.argwhere(known & ~excepted).tolist()
    ]
    return judge(3, claims, "; ".join([_average(excess[:, known & ~excepted]), _wins(excess, known, sizes, budgets)]))


def _place(values: list[float]) -> Array:
    """Where each of some rising values lies between the ends, in logs, 0 to 1."""
    logs = np.log(values)
    place: Array = (logs - logs[0]) / (logs[-1] - logs[0])
    return place


def _excess(full: Choices, frozen: Choices, sizes: list[float], budgets: list[float]) -> Array:
    """Log loss of freezing above that of full (draws, sizes, budgets); not finite where one was not measured."""
    table = np.full((len(full.log_losses(budgets[0])), len(sizes), len(budgets)), np.nan)
    for i, size in enumerate(sizes):
        pair = frozen.where(frozen.size == size), full.where(full.size == size)
        with np.errstate(invalid="ignore"):
            table[:, i] = pair[0].best(budgets) - pair[1].best(budgets)
    return table


def _average(excess: Array) -> str:
    return (
        f"freezing against full where the model is not large for the budget, on average {percent(excess.mean(axis=1))}"
    )


def _wins(excess: Array, known: Mask, sizes: list[float], budgets: list[float]) -> str:
    """Where freezing wins in more than half of the draws."""
    shares = [
        f"{sizes[i]:.2g} parameters at {budgets[j]:.3g} FLOP ({100 * (excess[:, i, j] < 0).mean():.0f} %)"
        for i, j in np.argwhere(known).tolist()
        if (excess[:, i, j] < 0).mean() > 0.5
    ]
    more = f" and {len(shares) - 6} more" if len(shares) > 6 else ""
    where = f"at {', '.join(shares[:6])}{more}" if shares else "nowhere"
    return f"freezing is more likely than not to win {where}, of {int(known.sum())} compared"


def fraction(laws: Laws, choices: Choices) -> Finding:
    """The best active fraction against the size."""
    if why := lacking(laws, ("freeze",)):
        return untested(4, why)
    frozen = choices.of_kind("freeze")
    if len(frozen.methods) < MIN_FRACTIONS:
        names = ", ".join(frozen.methods)
        why = f"the best fraction is seen to move with at least {MIN_FRACTIONS} of them, and the study has {names}"
        return untested(4, why, _between_two(laws, frozen) if len(frozen.methods) == 2 else "")
    budgets = shared_budgets(laws, frozen.methods)
    found = [(size, c, best) for size in sorted(set(frozen.size.tolist())) for c in budgets
             if (best := _best_fraction(frozen.where(frozen.size == size), c)) is not None]  # fmt: skip
    if len({size for size, _, _ in found}) < 2:
        return untested(4, "fewer than 2 models have 3 fractions at a common budget")
    best = np.stack([log_fraction for _, _, log_fraction in found], axis=1)
    sizes, levels = np.log([size for size, _, _ in found]), np.array([c for _, c, _ in found])
    centred = sizes - np.array([sizes[levels == level].mean() for level in levels.tolist()])
    slope = best @ centred / (centred @ centred)
    claim = assertion("the best fraction falls", slope < 0, slope > 0)
    return judge(4, [claim], _told(claim, slope, best, sizes, frozen))


def _best_fraction(choices: Choices, budget: float) -> Array | None:
    """Log of the best fraction of one size at a budget (draws,); None where fewer than 3 were measured."""
    logs = choices.log_losses(budget)
    known = np.isfinite(logs).all(axis=0)
    if known.sum() < MIN_FRACTIONS:
        return None
    x = np.log([value_of(name) for name in choices.method[known].tolist()])
    centre = x.mean()
    curvature, slope, _ = np.polyfit(x - centre, logs[:, known].T, 2)
    low, high = x.min(), x.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.clip(centre - slope / (2 * curvature), low, high)
    end = x[logs[:, known].argmin(axis=1)]
    best: Array = np.where(curvature > 0, vertex, end)
    return best


def _told(claim: Assertion, slope: Array, best: Array, sizes: Array, frozen: Choices) -> str:
    ends = [np.exp(best[:, sizes == size].mean(axis=1)) for size in (sizes.min(), sizes.max())]
    unseen = 100 * float((~claim.holds & ~claim.fails).mean())
    return (
        f"best of {', '.join(frozen.methods)}: fraction {spread(ends[0])} for {np.exp(sizes.min()):.2g} parameters, "
        f"{spread(ends[1])} for {np.exp(sizes.max()):.2g}; fraction ~ N^{spread(slope)}"
        + (f"; in {unseen:.0f} % of the draws it stays at one end of those measured" if unseen >= 1 else "")
    )


def _between_two(laws: Laws, frozen: Choices) -> str:
    small, large = (frozen.of_method(name) for name in frozen.methods)
    sizes = sorted(set(small.size.tolist()) & set(large.size.tolist()))
    budgets = shared_budgets(laws, frozen.methods)
    if not sizes or not budgets:
        return ""
    told = []
    for size in dict.fromkeys((sizes[0], sizes[-1])):
        gap = [one.where(one.size == size).best(budgets) for one in (small, large)]
        with np.errstate(invalid="ignore"):
            share = float((gap[0] < gap[1]).mean())
        told.append(f"{100 * share:.0f} % for {size:.2g} parameters")
    return f"{frozen.methods[0]} beats {frozen.methods[1]} in {' and '.join(told)} of draws and budgets"
