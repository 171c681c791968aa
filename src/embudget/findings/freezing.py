"""Findings 3 and 4: frozen blocks against full fine-tuning, and how many blocks are best left active.

Finding 3 compares, for each model and budget, the best fraction below 1 with full fine-tuning. Freezing may win where
the model is large for the budget: where log N lies further up among the measured sizes than log C among the budgets. A
win anywhere else fails the claim for that model and budget.

Finding 4 needs 3 measured fractions. In each draw, for each model and budget, a parabola of the log loss over the log
fraction has a minimum; the claim is about the slope of that minimum over log N at equal budgets. Where it lies at the
same end for all models, its move was not seen.
"""

import numpy as np

from embudget.choices import Candidate, Choices, in_order
from embudget.choices.table import Array
from embudget.findings.finding import Assertion, Finding, Mask, assertion, conclude, percent, spread, untested
from embudget.findings.measured import Candidates, lacking, of_kind, shared_budgets
from embudget.laws import Laws

MIN_FRACTIONS = 3


def freezing(laws: Laws, candidates: Candidates) -> Finding:
    """Block freezing against full fine-tuning."""
    if why := lacking(laws, ("full", "freeze")):
        return untested(3, why)
    full, frozen = of_kind(candidates, "full"), [one for one in of_kind(candidates, "freeze") if _fraction(one) < 1]
    budgets = shared_budgets(laws, ("full", "freeze"))
    sizes = sorted({one.model_params for one in full} & {one.model_params for one in frozen})
    if not frozen:
        return untested(3, "the study has no runs with a fraction below 1")
    if not budgets or not sizes:
        return untested(3, "full fine-tuning and block freezing have no model at a common budget")
    excess = _excess(laws, full, frozen, sizes, budgets)
    known = np.asarray(np.isfinite(excess).all(axis=0))
    excepted = _place(sizes)[:, None] > _place(budgets) + 1e-9
    if len(sizes) < 2 or len(budgets) < 2 or not (known & ~excepted).any():
        return untested(3, "the exception for large models at small budgets needs 2 sizes at 2 budgets")
    claims = [
        assertion(f"freezing is worse for {sizes[i]:.2g} parameters at {budgets[j]:.3g} FLOP", excess[:, i, j] > 0)
        for i, j in np.argwhere(known & ~excepted).tolist()
    ]
    average = percent(excess[:, known & ~excepted].mean(axis=1))
    numbers = f"freezing against full where the model is not large for the budget, on average {average}"
    return conclude(3, claims, f"{numbers}; {_wins(excess, known, sizes, budgets)}")


def _place(values: list[float]) -> Array:
    """Where each of some rising values lies between the first (0) and the last (1), in logs."""
    logs = np.log(values)
    place: Array = (logs - logs[0]) / (logs[-1] - logs[0])
    return place


def _fraction(candidate: Candidate) -> float:
    """The active fraction of block freezing."""
    return candidate.method.number or 0.0


def _excess(laws: Laws, full: Candidates, frozen: Candidates, sizes: list[float], budgets: list[float]) -> Array:
    """Log loss of freezing above that of full (draws, sizes, budgets); not finite where one was not measured."""
    by_size = []
    for candidates in (frozen, full):
        losses = Choices.of(laws.on_study, candidates, budgets).log_losses
        rows = [[row for row, one in enumerate(candidates) if one.model_params == size] for size in sizes]
        by_size.append(np.stack([losses[:, mine].min(axis=1) for mine in rows], axis=1))
    with np.errstate(invalid="ignore"):
        excess: Array = by_size[0] - by_size[1]
    return excess


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


def fraction(laws: Laws, candidates: Candidates) -> Finding:
    """The best active fraction against the size."""
    if why := lacking(laws, ("freeze",)):
        return untested(4, why)
    frozen = of_kind(candidates, "freeze")
    methods = [str(method) for method in in_order(one.method for one in frozen)]
    if len(methods) < MIN_FRACTIONS:
        names = ", ".join(methods)
        why = f"the best fraction is seen to move with at least {MIN_FRACTIONS} of them, and the study has {names}"
        return untested(4, why, _between_two(laws, frozen, methods) if len(methods) == 2 else "")
    budgets = shared_budgets(laws, methods)
    found = []
    for size in sorted({one.model_params for one in frozen}):
        mine = [one for one in frozen if one.model_params == size]
        losses = Choices.of(laws.on_study, mine, budgets).log_losses
        log_fractions = np.log([_fraction(one) for one in mine])
        bests = [_best_fraction(losses[:, :, place], log_fractions) for place in range(len(budgets))]
        found += [(size, c, best) for c, best in zip(budgets, bests, strict=True) if best is not None]
    if len({size for size, _, _ in found}) < 2:
        return untested(4, "fewer than 2 models have 3 fractions at a common budget")
    best = np.stack([log_fraction for _, _, log_fraction in found], axis=1)
    sizes, levels = np.log([size for size, _, _ in found]), np.array([c for _, c, _ in found])
    centred = sizes - np.array([sizes[levels == level].mean() for level in levels.tolist()])
    slope = best @ centred / (centred @ centred)
    claim = assertion("the best fraction falls", slope < 0, slope > 0)
    return conclude(4, [claim], _told(claim, slope, best, sizes, methods))


def _best_fraction(logs: Array, log_fractions: Array) -> Array | None:
    """Log of the best fraction by each draw (draws,) from log losses (draws, fractions); None with fewer than 3."""
    known = np.isfinite(logs).all(axis=0)
    if known.sum() < MIN_FRACTIONS:
        return None
    x = log_fractions[known]
    centre = x.mean()
    curvature, slope, _ = np.polyfit(x - centre, logs[:, known].T, 2)
    low, high = x.min(), x.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.clip(centre - slope / (2 * curvature), low, high)
    end = x[logs[:, known].argmin(axis=1)]
    best: Array = np.where(curvature > 0, vertex, end)
    return best


def _told(claim: Assertion, slope: Array, best: Array, sizes: Array, methods: list[str]) -> str:
    ends = [np.exp(best[:, sizes == size].mean(axis=1)) for size in (sizes.min(), sizes.max())]
    unseen = 100 * float((~claim.holds & ~claim.fails).mean())
    return (
        f"best of {', '.join(methods)}: fraction {spread(ends[0])} for {np.exp(sizes.min()):.2g} parameters, "
        f"{spread(ends[1])} for {np.exp(sizes.max()):.2g}; fraction ~ N^{spread(slope)}"
        + (f"; in {unseen:.0f} % of the draws it stays at one end of those measured" if unseen >= 1 else "")
    )


def _between_two(laws: Laws, frozen: Candidates, methods: list[str]) -> str:
    small, large = ([one for one in frozen if str(one.method) == name] for name in methods)
    sizes = sorted({one.model_params for one in small} & {one.model_params for one in large})
    budgets = shared_budgets(laws, methods)
    if not sizes or not budgets:
        return ""
    told = []
    for size in dict.fromkeys((sizes[0], sizes[-1])):
        pair = ([one for one in mine if one.model_params == size] for mine in (small, large))
        gap = [Choices.of(laws.on_study, mine, budgets).lowest() for mine in pair]
        with np.errstate(invalid="ignore"):
            share = float((gap[0] < gap[1]).mean())
        told.append(f"{100 * share:.0f} % for {size:.2g} parameters")
    return f"{methods[0]} beats {methods[1]} in {' and '.join(told)} of draws and budgets"
