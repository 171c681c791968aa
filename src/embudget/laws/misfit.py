"""How much of the residuals is the law's own error, and how much the noise of the runs.

The noise of runs is seen without any law in two ways: between the seeds of a cell, and between neighbours. Along the
budgets of one method and size, a smooth error of the law nearly cancels in

    d_i = r_i - (r_(i-1) + r_(i+1)) / 2,     E d^2 = 3/2 noise^2

(the second differences of Gasser, Sroka and Jennen-Steinmetz 1986, for residuals). What residuals have beyond that
noise, if it is more than chance would give, is the misfit: no form fits these data any better.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import f as fisher

from embudget.laws.base import Array
from embudget.laws.bootstrap import noise_of_seeds, winsorised
from embudget.laws.points import Points

CHANCE = 0.05
"""Probability of seeing a misfit where there is none."""
_INDEPENDENT = 0.6
"""Degrees of freedom of a second difference: neighbouring ones share residuals."""
_FEWEST = 6.0  # degrees of freedom below which the noise of runs is not known


def misfit_of(points: Points, residuals: Array, noise: float, freedom: float) -> float:
    """Relative standard deviation of the law's own error at the measured cells; 0 where none is seen.

    Args:
        points: the cells.
        residuals: of their log losses (n,).
        noise: of one run about the law.
        freedom: degrees of freedom that ``noise`` is estimated from.
    """
    mean_seeds = float(points.seeds.mean())
    scaled = winsorised(residuals, points.weights) * np.sqrt(points.weights * mean_seeds)  # as of one run each
    differences = np.array(list(_second_differences(points, scaled)))
    repeats = points.seeds - 1
    known = float(repeats.sum()) + _INDEPENDENT * len(differences)
    if known < _FEWEST:
        return 0.0
    of_seeds = float(repeats.sum()) * noise_of_seeds(points, residuals)
    squares = of_seeds + _INDEPENDENT * float((differences**2).sum()) / 1.5
    of_runs = squares / known
    if noise**2 <= of_runs * float(fisher.ppf(1 - CHANCE, freedom, known)):
        return 0.0
    return float(np.sqrt(noise**2 - of_runs))


def _second_differences(points: Points, scaled: Array) -> Iterator[float]:
    for method in points.methods:
        of_method = points.method == method
        for size in np.unique(points.log_n[of_method]):
            rows = np.flatnonzero(of_method & (points.log_n == size))
            series = scaled[rows[np.argsort(points.log_d[rows])]]
            yield from series[1:-1] - (series[:-2] + series[2:]) / 2
