"""How noisy one run is, and which cells lie too far from the law to be noise.

Four questions need this: how far a fit may follow a residual (`noise_level`, which sets Huber's delta), which cells are
outlying, what the loss of a new run will scatter by (`noise_of_run`), and how much of the residuals is noise at all
(`embudget.laws.misfit`). All four take residuals of log losses, so that noise is relative.
"""

import numpy as np
from numpy.typing import NDArray

from embudget.laws.forms import Array
from embudget.laws.problem import Points

MAD = 1.4826
"""Standard deviation / median absolute deviation of normal noise."""
USUAL_NOISE, USUAL_FREEDOM = 0.002, 0.5
"""Relative noise expected of a run before anything is measured, and how many degrees of freedom that is worth. Without
it a law through nearly as many parameters as cells would be taken for exact. Assumption."""
NOISE_FLOOR = 1e-6
"""Relative noise below which losses are exact for our purposes."""
OUTLYING = 4.0
"""Noise levels beyond which a cell's residual is cut. The noise level is that of the median residual, which no single
cell can move. Among simulated studies of 27 to 36 cells with nothing but normal noise, one in ten names a cell."""
_EXACT = 1e-4  # a relative noise level below this counts as none, so that nothing is outlying by rounding


def noise_level(residuals: Array, weights: Array, parameters: float) -> float:
    """The noise of a cell of mean weight, from the median residual (n,) on n - p degrees of freedom.

    The usual noise counts with its own degrees of freedom.
    """
    count, freedom = len(residuals), max(len(residuals) - parameters, 0.0)
    typical = MAD * float(np.median(np.abs(residuals) * np.sqrt(weights)))
    squares = count * typical**2 + USUAL_FREEDOM * USUAL_NOISE**2
    return max(float(np.sqrt(squares / (freedom + USUAL_FREEDOM))), NOISE_FLOOR)


def outlying_limit(residuals: Array, weights: Array) -> float:
    """The size of a weighted residual beyond which it is cut."""
    typical = MAD * float(np.median(np.abs(residuals) * np.sqrt(weights)))
    return OUTLYING * max(typical, _EXACT)


def is_outlying(residuals: Array, weights: Array) -> NDArray[np.bool_]:
    """Which cells lie beyond the limit (n,)."""
    beyond: NDArray[np.bool_] = np.abs(residuals) * np.sqrt(weights) > outlying_limit(residuals, weights)
    return beyond


def winsorised(residuals: Array, weights: Array) -> Array:
    """The residuals (n,), with those of outlying cells cut to the limit."""
    limit = outlying_limit(residuals, weights) / np.sqrt(weights)
    cut: Array = np.clip(residuals, -limit, limit)
    return cut


def noise_of_run(points: Points, residuals: Array, freedom: float) -> float:
    """Relative standard deviation of one run about the law.

    A cell's residual is that of the mean of its seeds; where seeds were repeated, the part of their variance that the
    mean took away is added back. With weights m_i / m, where cell i has m_i seeds and m is their mean, the weighted
    squares average to 1 / m of the variance between seeds: 1 - 1/m of it was taken away.
    """
    squares = float((points.weights * winsorised(residuals, points.weights) ** 2).sum())
    of_cells = (squares + USUAL_FREEDOM * USUAL_NOISE**2) / (freedom + USUAL_FREEDOM)
    of_seeds = variance_of_seeds(points, residuals)
    return float(np.sqrt(of_cells + (1 - 1 / float(points.seeds.mean())) * of_seeds))


def variance_of_seeds(points: Points, residuals: Array) -> float:
    """Relative variance between the runs of a cell; 0 without repeated seeds. A diverged seed is cut as a cell is."""
    repeats = points.seeds - 1
    if repeats.sum() == 0:
        return 0.0
    limit = repeats * outlying_limit(residuals, points.weights) ** 2 * float(points.seeds.mean())
    return float(np.minimum(points.seed_squares, limit).sum() / repeats.sum())
