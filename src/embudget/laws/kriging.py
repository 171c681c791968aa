"""A smooth correction of a law that does not fit: what its residuals say of a new point.

Where a misfit is seen (`embudget.laws.misfit`), it is taken for a Gaussian process over (log N, log D) about the law:

    log L = log f(N, D) + g(N, D) + noise
    cov(g, g') = misfit^2 R exp(-(Delta log N / l_N)^2 / 2 - (Delta log D / l_D)^2 / 2)

with R = 1 within a kind of method and `across` between two. At a new point g is predicted from the residuals, with its
remaining variance (universal kriging; Rasmussen and Williams 2006, sections 2.2 and 2.7; as a law's discrepancy Kennedy
and O'Hagan 2001). Far from all cells it fades, and the law alone is left, with the whole misfit as its uncertainty. The
lengths, in units of the spread of the measured log N and log D, and `across` are those of a short list that make the
residuals most likely.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from scipy.linalg import cho_factor, cho_solve

from embudget.frozen import Frozen
from embudget.laws.base import Array
from embudget.laws.points import Points
from embudget.methods import kind_of

LENGTHS = (0.7, 1.4, 2.8)
"""In standard deviations of the measured log N or log D."""
ACROSS = (0.0, 0.5, 0.9)
"""Correlation of the errors of two kinds of method."""


class Correction(Frozen):
    """The residuals, and how they are carried to other points."""

    kinds: tuple[str, ...] = Field(description="of method, of each cell")
    log_n: tuple[float, ...]
    log_d: tuple[float, ...]
    residuals: tuple[float, ...] = Field(description="of log losses about the law")
    variances: tuple[PositiveFloat, ...] = Field(description="of the residuals by the noise of runs")
    misfit: PositiveFloat = Field(description="standard deviation of g")
    lengths: tuple[PositiveFloat, PositiveFloat] = Field(description="of log N and log D")
    across: NonNegativeFloat = Field(le=1)

    @model_validator(mode="after")
    def _of_equal_lengths(self) -> Self:
        lengths = {len(self.kinds), len(self.log_n), len(self.log_d), len(self.residuals), len(self.variances)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"a correction needs as many kinds, sizes, tokens, residuals and variances, got {lengths}")
        return self

    @cached_property
    def _solved(self) -> tuple[tuple[Array, bool], Array]:
        own = np.array(self.log_n), np.array(self.log_d)
        factor = cho_factor(self._covariance(self.kinds, *own) + np.diag(self.variances), lower=True)
        return factor, cho_solve(factor, np.array(self.residuals))

    def mean(self, methods: Sequence[str], log_n: Array, log_d: Array) -> Array:
        """What g is expected to be at m points (m,)."""
        expected: Array = self._covariance([kind_of(method) for method in methods], log_n, log_d) @ self._solved[1]
        return expected

    def variance(self, methods: Sequence[str], log_n: Array, log_d: Array) -> Array:
        """How far g may be from that, squared (m,)."""
        between = self._covariance([kind_of(method) for method in methods], log_n, log_d)
        explained = (between * cho_solve(self._solved[0], between.T).T).sum(axis=1)
        left: Array = np.maximum(self.misfit**2 - explained, 0.0)
        return left

    def log_likelihood(self) -> float:
        """Of the residuals, up to a constant."""
        (triangle, _), weights = self._solved
        return float(-0.5 * np.array(self.residuals) @ weights - np.log(np.diag(triangle)).sum())

    def _covariance(self, kinds: Sequence[str], log_n: Array, log_d: Array) -> Array:
        """Between m points and the cells (m, cells)."""
        squares = ((log_n[:, None] - np.array(self.log_n)) / self.lengths[0]) ** 2
        squares += ((log_d[:, None] - np.array(self.log_d)) / self.lengths[1]) ** 2
        same = np.array(kinds)[:, None] == np.array(self.kinds)
        covariance: Array = self.misfit**2 * np.where(same, 1.0, self.across) * np.exp(-0.5 * squares)
        return covariance


def fit_correction(points: Points, residuals: Array, noise: float, misfit: float) -> Correction:
    """The correction of the likeliest lengths.

    Args:
        points: the cells.
        residuals: of their log losses (n,).
        noise: of one run, without the misfit; relative.
        misfit: relative.
    """
    common = {
        "kinds": [kind_of(method) for method in points.method.tolist()],
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
