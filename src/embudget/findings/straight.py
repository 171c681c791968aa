"""Finding 7: whether the best loss of each kind of method falls along a straight line in log-log against the budget.

In each draw the best loss over the sizes (those between the measured ones too) along the measured budgets gets a
parabola in log-log. An asymptote above 0 bends every such line a little, so that what is asked is whether it is
straight enough to be drawn as a line: the slope changes by less than MAX_BEND of its mean from the lowest budget to the
highest. Bends show over a wide range of budgets only; with 3 budgets a verdict either way is rare.
"""

import numpy as np

from embudget.findings.choices import KINDS, Choices, measured_kinds
from embudget.findings.finding import Finding, assertion, judge, spread, untested
from embudget.laws import Laws
from embudget.methods import kind_of

MAX_BEND = 0.5
MIN_BUDGETS = 3
GRID = 9
"""Budgets between the lowest and the highest."""


def straight(laws: Laws, choices: Choices) -> Finding:
    """The best loss of every kind against the budget."""
    claims, texts, fewest = [], [], len(laws.table.budgets)
    for kind in measured_kinds(laws):
        budgets = sorted({cell.budget for cell in laws.cells if kind_of(cell.method) == kind})
        if len(budgets) < MIN_BUDGETS:
            return untested(
                7, f"a bend shows with at least {MIN_BUDGETS} budgets, and {KINDS[kind]} has {len(budgets)}"
            )
        mine = choices.of_kind(kind)
        grid = mine.finer().considered(np.geomspace(budgets[0], budgets[-1], GRID).tolist())
        if len(grid) < MIN_BUDGETS:
            return untested(7, f"the budgets of {KINDS[kind]} lie too far apart")
        _, logs = mine.optimum(grid)
        x = np.log(grid) - np.log(grid).mean()
        curvature, slope, _ = np.polyfit(x, logs.T, 2)
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
    return judge(7, claims, "; ".join(texts))
