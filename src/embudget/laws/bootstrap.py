"""Uncertainty of a fitted law: a residual bootstrap over cells, and prediction intervals for small studies.

A study is a designed grid, so the design is kept and the residuals are dealt out anew (Davison and Hinkley 1997,
section 6.2): every resample then has all sizes, budgets and methods and stays fittable, where drawing cells with
replacement would lose some. All seeds of a cell are one residual. With n cells and p parameters the residuals are
inflated by sqrt(n / (n - p)), since a fit shrinks them; the prior's centre is drawn anew as well, so that what the
prior decides is not mistaken for what the data say.

The interval at `level` for the measured loss L of a new run, predicted as f:

    log L  in  log f  +-  t(n - p) sqrt((INFLATION sd)^2 + noise^2)

with sd the robust standard deviation of the draws' log predictions (from their 5 % and 95 % quantiles), noise the
relative standard deviation of one run about the law, and Student's t for the noise being estimated on n - p degrees of
freedom.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from embudget.laws.table import Cell
from embudget.laws.varpro import Array

INFLATION = 1.4
"""Of the draws' spread. Bootstrap intervals of an extrapolated minimum are too narrow, since the choice of the minimum
favours cells that were lucky. In 6 kinds of 100 simulated studies each (9 to 60 cells, noise 1 to 3 %, with and without
equal exponents) nominal 90 % intervals of the recipe's run at 4 times the budget covered in 84 to 91 % without it, and
in 88 to 97 % with it."""
_QUANTILES, _WIDTH = (0.05, 0.95), 2 * 1.6449


def deal_residuals(log_loss: Array, log_fit: Array, weights: Array, freedom: int, rng: np.random.Generator) -> Array:
    """One resample of the log losses (n,): the fit plus residuals of other cells, brought to each cell's weight."""
    residuals = (log_loss - log_fit) * np.sqrt(weights)
    inflation = np.sqrt(len(residuals) / freedom)
    dealt: Array = log_fit + inflation * rng.choice(residuals - residuals.mean(), len(residuals)) / np.sqrt(weights)
    return dealt


def noise_of_run(cells: Sequence[Cell], residuals: Array, weights: Array, freedom: int) -> float:
    """Relative standard deviation of one run about the law.

    The residual of a cell is that of the mean of its seeds; where seeds were repeated, the part of their variance that
    the mean took away is added back.
    """
    of_cells = float((weights * residuals**2).sum()) / freedom
    logs = [np.log([run.loss for run in cell.runs]) for cell in cells]
    repeats = sum(len(values) - 1 for values in logs)
    if repeats == 0:
        return float(np.sqrt(of_cells))
    of_seeds = sum(float(((values - values.mean()) ** 2).sum()) for values in logs) / repeats
    taken = float(np.mean([1 - 1 / len(values) for values in logs]))
    return float(np.sqrt(of_cells + taken * of_seeds))


def half_width(log_draws: Array, noise: float, freedom: int, level: float) -> float:
    """Half the width of the prediction interval of a log loss."""
    low, high = np.quantile(log_draws, _QUANTILES)
    spread = INFLATION * (high - low) / _WIDTH
    return float(student.ppf((1 + level) / 2, freedom) * np.hypot(spread, noise))
