"""What residuals are made of: the noise of runs, outlying cells, and the law's own error, which is corrected.

Residuals are those of log losses, so that noise is relative. `noise_level` says how far a fit may follow one (it sets
Huber's delta), `is_outlying` which lie too far off to be noise, `noise_of_run` what the loss of a new run scatters by.

The noise of runs is seen without any law in two ways: between the seeds of a cell, and between neighbours. Along the
budgets of one method and size, a smooth error of the law nearly cancels in

    d_i = r_i - (r_(i-1) + r_(i+1)) / 2,     E d^2 = 3/2 noise^2

(the second differences of Gasser, Sroka and Jennen-Steinmetz 1986, for residuals). What residuals have beyond that
noise, if it is more than chance would give, is the misfit: no form fits these data any better.

A misfit is taken for a Gaussian process over (log N, log D) about the law:

    log L = log f(N, D) + g(N, D) + noise
    cov(g, g') = misfit^2 R exp(-(Delta log N / l_N)^2 / 2 - (Delta log D / l_D)^2 / 2)

with R = 1 within a kind of method and `across` between two. At a new point g is predicted from the residuals, with its
remaining variance (universal kriging; Rasmussen and Williams 2006, sections 2.2 and 2.7; as a law's discrepancy Kennedy
and O'Hagan 2001). Far from all cells it fades, and the law alone is left, with the whole misfit as its uncertainty.
`across` and the lengths, in units of the spread of the measured log N and log D, are those of a short list under which
the residuals are most likely.

Each bootstrap draw of a law misses the cells by other residuals, which the same weights carry. Thus draws that disagree
about the level of a measured model agree once each is corrected by its own (`Correction.weights`).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import f as fisher

from embudget.frozen import Frozen
from embudget.laws.forms import Array
from embudget.laws.problem import Points
from embudget.methods import kind_of
from embudget.records import MethodText

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
CHANCE = 0.05
"""Probability of seeing a misfit where there is none."""
LENGTHS = (0.7, 1.4, 2.8)
"""Tried l_N and l_D, in standard deviations of the measured log N or log D."""
ACROSS = (0.0, 0.5, 0.9)
"""Tried correlations of the errors of two kinds of method."""
_INDEPENDENT = 0.6  # degrees of freedom of a second difference: neighbouring ones share residuals
_FEWEST = 6.0  # degrees of freedom below which the noise of runs is not known


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
    return np.abs(residuals) * np.sqrt(weights) > outlying_limit(residuals, weights)


def winsorised(residuals: Array, weights: Array) -> Array:
    """The residuals (n,), with those of outlying cells cut to the limit."""
    limit = outlying_limit(residuals, weights) / np.sqrt(weights)
    return np.clip(residuals, -limit, limit)


class Series(NamedTuple):
    """How much the residuals of one series of cells have in common."""

    common: float
    """rho: the share of their variance, from 0 to 1; 0 where chance could give as much"""
    effective: float
    """independent cells that all cells are worth"""


def series_of(points: Points, residuals: Array) -> Series:
    """What the residuals (n,) of one model and method have in common: the runs of a trunk, checkpoints of a run.

    It is the intraclass correlation rho of a one-way analysis of variance. With m cells in a series, on the average
    over cells, n cells are worth n / (1 + (m - 1) rho) independent ones (the design effect of Kish 1965, section 5.4).
    """
    count, (_, code, sizes) = len(points), np.unique(points.series, return_inverse=True, return_counts=True)
    scaled = winsorised(residuals, points.weights) * np.sqrt(points.weights)
    groups = len(sizes)
    exact = float(np.sqrt((scaled**2).mean())) < _EXACT  # what a prior leaves of runs without noise is no noise
    if groups < 2 or groups == count or exact:
        return Series(0.0, float(count))
    means = np.bincount(code, scaled) / sizes
    between = float((sizes * (means - scaled.mean()) ** 2).sum()) / (groups - 1)
    within = float(((scaled - means[code]) ** 2).sum()) / (count - groups)
    if between <= within * float(fisher.ppf(1 - CHANCE, groups - 1, count - groups)):
        return Series(0.0, float(count))
    size = (count - float((sizes**2).sum()) / count) / (groups - 1)
    common = (between - within) / (between + (size - 1) * within)
    return Series(common, count / (1 + (float((sizes**2).sum()) / count - 1) * common))


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


def misfit_of(points: Points, residuals: Array, noise: float, freedom: float) -> float:
    """Relative standard deviation of the law's own error at the cells, from their residuals (n,); 0 where none is seen.

    ``noise`` is the relative standard deviation of one run about the law, on ``freedom`` degrees of freedom.
    """
    mean_seeds = float(points.seeds.mean())
    scaled = winsorised(residuals, points.weights) * np.sqrt(points.weights * mean_seeds)  # as of one run each
    differences = np.array(list(_second_differences(points, scaled)))
    repeats = points.seeds - 1
    known = float(repeats.sum()) + _INDEPENDENT * len(differences)
    if known < _FEWEST:
        return 0.0
    of_seeds = float(repeats.sum()) * variance_of_seeds(points, residuals)
    squares = of_seeds + _INDEPENDENT * float((differences**2).sum()) / 1.5
    of_runs = squares / known
    if noise**2 <= of_runs * float(fisher.ppf(1 - CHANCE, freedom, known)):
        return 0.0
    return float(np.sqrt(noise**2 - of_runs))


def _second_differences(points: Points, scaled: Array) -> Iterator[float]:
    for line in np.unique(points.lines):
        of_method = points.lines == line
        for size in np.unique(points.log_n[of_method]):
            rows = np.flatnonzero(of_method & (points.log_n == size))
            series = scaled[rows[np.argsort(points.log_d[rows])]]
            yield from series[1:-1] - (series[:-2] + series[2:]) / 2


class Correction(Frozen):
    """The residuals of the cells, and how they are carried to other points."""

    methods: tuple[MethodText, ...] = Field(description="of each cell")
    log_n: tuple[float, ...]
    log_d: tuple[float, ...]
    residuals: tuple[float, ...] = Field(description="measured log losses minus the law's")
    variances: tuple[PositiveFloat, ...] = Field(description="what the noise of runs adds to each residual")
    misfit: PositiveFloat = Field(description="standard deviation of g")
    lengths: tuple[PositiveFloat, PositiveFloat] = Field(description="l_N and l_D")
    across: NonNegativeFloat = Field(le=1)

    @model_validator(mode="after")
    def _of_equal_lengths(self) -> Self:
        lengths = {len(self.methods), len(self.log_n), len(self.log_d), len(self.residuals), len(self.variances)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                f"a correction needs equally many methods, sizes, tokens, residuals, variances, got {lengths}"
            )
        return self

    @cached_property
    def _solved(self) -> tuple[tuple[Array, bool], Array]:
        own = np.array(self.log_n), np.array(self.log_d)
        factor = cho_factor(self._covariance(self.methods, *own) + np.diag(self.variances), lower=True)
        return factor, cho_solve(factor, np.array(self.residuals))

    def mean(self, methods: Sequence[str], log_n: Array, log_d: Array) -> Array:
        """What g is expected to be at m points (m,)."""
        return self._covariance(methods, log_n, log_d) @ self._solved[1]

    def weights(self, methods: Sequence[str], log_n: Array, log_d: Array) -> tuple[Array, Array]:
        """How much each cell's residual counts at m points (m, cells), and the remaining variance of g there (m,)."""
        between = self._covariance(methods, log_n, log_d)
        weights: Array = cho_solve(self._solved[0], between.T).T
        return weights, np.maximum(self.misfit**2 - (between * weights).sum(axis=1), 0.0)

    def log_likelihood(self) -> float:
        """The log probability density of the residuals, up to a constant."""
        (triangle, _), weights = self._solved
        return float(-0.5 * np.array(self.residuals) @ weights - np.log(np.diag(triangle)).sum())

    def _covariance(self, methods: Sequence[str], log_n: Array, log_d: Array) -> Array:
        """cov(g, g') between m points and the cells (m, cells)."""
        squares = ((log_n[:, None] - np.array(self.log_n)) / self.lengths[0]) ** 2
        squares += ((log_d[:, None] - np.array(self.log_d)) / self.lengths[1]) ** 2
        of_cells, asked = (np.array([kind_of(one) for one in names]) for names in (self.methods, methods))
        same = asked[:, None] == of_cells
        covariance: Array = self.misfit**2 * np.where(same, 1.0, self.across) * np.exp(-0.5 * squares)
        return covariance


def fit_correction(points: Points, residuals: Array, noise: float, misfit: float) -> Correction:
    """The correction whose `lengths` and `across` make the residuals (n,) of the cells most likely.

    ``misfit`` is the standard deviation of g and ``noise`` that of one run without it, both relative.
    """
    common = {
        "methods": points.method.tolist(),
        "log_n": points.log_n.tolist(),
        "log_d": points.log_d.tolist(),
        "residuals": residuals.tolist(),
        "variances": (max(noise, 1e-6) ** 2 / (points.seeds.mean() * points.weights)).tolist(),
        "misfit": misfit,
    }
    spread_n, spread_d = (float(values.std()) or 1.0 for values in (points.log_n, points.log_d))
    across = ACROSS if len(points.kinds) > 1 else (0.0,)
    tried = (
        Correction.model_validate({**common, "lengths": (size * spread_n, data * spread_d), "across": one})
        for size, data, one in product(LENGTHS, LENGTHS, across)
    )
    return max(tried, key=lambda correction: correction.log_likelihood())
