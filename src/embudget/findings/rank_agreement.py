"""Do two measurements put the same models into the same order? Rank correlations with intervals by bootstrap.

Spearman's rho is the correlation of the ranks; Kendall's tau is the share of pairs of models in the same order minus
the share in opposite order, so that (1 + tau) / 2 is the chance that both agree on two of them (scipy computes both).
The models are resampled with replacement DRAWS times, and the interval is where 90 % of the draws lie. Runs of one
member and method resemble each other, which the bootstrap does not know: with few of them it is too narrow.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from embudget.choices.table import Array
from embudget.frozen import Frozen

DRAWS = 500
"""Resamples of the models; the ends of a 90 % interval are then known to about 1 % of the level."""
SEED = 0
LEVEL = 0.9


class RankCorrelation(Frozen):
    """How alike two measurements order models: 1 in the same order, -1 in the opposite one."""

    models: PositiveInt
    spearman: float = Field(ge=-1, le=1)
    spearman_interval: tuple[float, float] = Field(description="90 %, by bootstrap over the models")
    kendall: float = Field(ge=-1, le=1)
    kendall_interval: tuple[float, float] = Field(description="90 %, by bootstrap over the models")


class Ranks(NamedTuple):
    """A rank correlation, with its draws."""

    found: RankCorrelation
    spearman_draws: Array
    """(draws,); NaN where all resampled models are the same one."""


def resamples(models: int) -> NDArray[np.int64]:
    """The models of each draw (draws, models), always the same for as many models."""
    return np.random.default_rng(SEED).integers(models, size=(DRAWS, models))


def rank_correlation(first: Array, second: Array) -> Ranks | None:
    """Compare the orders in which two measurements (models,) put the same models.

    Returns:
        None where one of them is the same for all models, so that there is no order.
    """
    from scipy.stats import kendalltau, rankdata

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    drawn = resamples(len(first))
    rows = np.concatenate([np.arange(len(first))[None, :], drawn])  # the models themselves first
    rho = _rowwise(rankdata(first[rows], axis=1), rankdata(second[rows], axis=1))
    tau = np.array([kendalltau(first[row], second[row]).statistic for row in rows])
    found = RankCorrelation(
        models=len(first),
        spearman=_rounded(rho[0]),
        spearman_interval=bootstrap_interval(rho[1:]),
        kendall=_rounded(tau[0]),
        kendall_interval=bootstrap_interval(tau[1:]),
    )
    return Ranks(found, rho[1:])


def bootstrap_interval(draws: Array) -> tuple[float, float]:
    """Where the middle 90 % of the draws lie; draws without a value do not count."""
    low, high = np.nanquantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return _rounded(low), _rounded(high)


def _rowwise(x: Array, y: Array) -> Array:
    """The correlation of each row of one table with that of the other."""
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho: Array = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return rho.clip(-1, 1)


def _rounded(value: float) -> float:
    return round(float(value), 4)
