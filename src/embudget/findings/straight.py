"""Finding 7: whether the best loss of each kind of method falls along a straight line in log-log against the budget.

In each draw a parabola in log-log is fitted to the best loss, over the measured sizes and those between, along the
measured budgets. An asymptote above 0 bends every such line a little. So the question is whether it is straight enough
to be drawn as a line, whether the slope changes by less than MAX_BEND of its mean between the lowest budget and the
highest. Bends show over a wide range of budgets only; with 3 budgets a verdict either way is rare.
"""

import numpy as np

from embudget.findings.finding import Finding, assertion, conclude, spread, untested
from embudget.findings.measured import KINDS, Candidates, fine, measured_kinds, of_kind
from embudget.laws import Laws
from embudget.methods import kind_of

MAX_BEND = 0.5
"""Change of the slope, as a share of its mean, below which a line counts as straight."""
MIN_BUDGETS = 3
GRID = 9
"""Budgets between the lowest and the highest."""


def straight(laws: Laws, candidates: Candidates) -> Finding:
    """The best loss of every kind against the budget."""
    claims, texts, fewest = [], [], len(laws.table.budgets)
    for kind in measured_kinds(laws):
        budgets = sorted({cell.budget for cell in laws.cells if kind_of(cell.method) == kind})
        if len(budgets) < MIN_BUDGETS:
            return untested(
                7, f"a bend shows with at least {MIN_BUDGETS} budgets, and {KINDS[kind]} has {len(budgets)}"
            )
        best = fine(laws, of_kind(candidates, kind), np.geomspace(budgets[0], budgets[-1], GRID).tolist())
        grid = best.budgets
        if len(grid) < MIN_BUDGETS:
            return untested(7, f"the budgets of {KINDS[kind]} lie too far apart")
        x = np.log(grid) - np.log(grid).mean()
        curvature, slope, _ = np.polyfit(x, best.lowest().T, 2)
        low, high = slope + 2 * curvature * x[0], slope + 2 * curvature * x[-1]
        claims += [
            assertion(f"the best loss of {KINDS[kind]} falls", slope < 0),
            assertion(f"the line of {KINDS[kind]} is straight", np.abs(high - low) < MAX_BEND * np.abs(slope)),
        ]
        texts.append(
            f"{KINDS[kind]}: L ~ C^{spread(slope, 3)}, slope {spread(low, 3)} at {grid[0]:.3g} FLOP and "
            f"{spread(high, 3)} at {grid[-1]:.3g}"
        )
        fewest = min(fewest, len(budgets))
    texts.append(f"straight means that the slope changes by less than {100 * MAX_BEND:.0f} % of its mean")
    if fewest == MIN_BUDGETS:
        texts.append("with 3 budgets the power to see a bend is low")
    return conclude(7, claims, "; ".join(texts))
