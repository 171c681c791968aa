"""Learning-rate envelopes: the loss of a cell at its best rate, and that rate.

    log loss = c0 + c1 x + c2 x^2,  x = log rate;     with batch sizes, y = log batch:  ... + c3 y + c4 x y + c5 y^2
Chinchilla takes the lower envelope of its training curves (Hoffmann et al. 2022, approach 1); here it is taken over
the rates tried in a cell (one model, method and budget). The optimum is flat, so that the lowest loss says little about
where it lies: on the 17 cells of the step law (Li et al. 2025, arXiv 2503.04715) it is up to a factor 1.71 in rate and
1.89 in batch from the published law, the vertex of `fit_rate_surface` 1.26 and 1.33.

A quadratic holds only near the optimum: a rate twice too high may diverge, one twice too low hardly matters. So an
*excess* (log loss above the lowest) counts with weight exp(-excess / NEAR), and is cut where it is large. For the
355 triples of rates 4 times apart at one batch size in the step law's runs, the best one in the middle, the vertex of a
plain parabola lies up to 13 % below the lowest loss at that batch size and is off by 5.1 % in root mean square; that of
the cut one lies at most 0.5 % below and 1.2 % above it, 0.2 % in root mean square.
"""

from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveFloat

from embudget.errors import FitError, TooFewRunsError
from embudget.frozen import Frozen

Array = NDArray[np.float64]

NEAR = 0.005
"""Excess at which a run's weight has fallen to 1/e. On the step law's 17 cells anything from 0.004 to 0.02 gives rates
within a factor 1.6 and batches within 1.4 of the published; less follows noise, more the flanks, which are no
parabola."""
EFFECTIVE = 12
"""Settings that a surface rests on at least, (sum w)^2 / sum w^2: twice its 6 coefficients; NEAR widens until it does,
where losses are noisy or settings few (all but one of fewer than 13)."""
STEEPER, FLAT, STEEP = 4.0, 0.02, 0.2
"""Of the two rates beside the best, the worse counts with at most STEEPER times the excess of the other, but up to FLAT
in any case and never above STEEP. With evenly spaced rates the vertex is then at most 1.1 % below the lowest loss."""
PLAUSIBLE = 0.02
"""A vertex further than this below the lowest measured log loss is not believed."""


class RateCurve(Frozen):
    """The best rate of one cell."""

    learning_rate: PositiveFloat
    log_loss: float = Field(description="at that rate, mean over seeds")
    curvature: float = Field(description="second derivative of log loss by log rate; not positive: no minimum")
    inside: bool = Field(description="a minimum between tried rates; False: the best rate tried, and its loss")


class RateSurface(Frozen):
    """The best rate and batch of one cell."""

    learning_rate: PositiveFloat
    batch_size: PositiveFloat = Field(description="in the unit it was given in; not rounded")
    log_loss: float = Field(description="there, mean over seeds")
    inside: bool = Field(description="a minimum between tried settings; False: the best setting tried, and its loss")


def fit_rate_curve(rates: ArrayLike, log_losses: ArrayLike) -> RateCurve:
    """Fit the parabola of one cell.

    The best rate and those on both sides of it count in full, the others the less the larger their excess; it goes
    through three rates exactly, unless one is cut. Runs at the same rate (seeds) are averaged.

    Args:
        rates: (n,), of each run.
        log_losses: (n,), of each run.

    Raises:
        TooFewRunsError: fewer than 3 different rates.
        FitError: a rate is not positive, or a value not finite.
    """
    settings, means = _averaged(logs_of("learning rate", rates)[:, None], log_losses)
    if len(means) < 3:
        raise TooFewRunsError(f"a learning-rate envelope needs at least 3 different rates, got {len(means)}")
    best = int(means.argmin())
    x = settings[:, 0] - settings[best, 0]
    excess, weights = _cut(means - means.min(), best)
    c0, c1, c2 = _weighted(np.stack([np.ones_like(x), x, x * x], axis=1), excess, weights).tolist()
    offset = -c1 / (2 * c2) if c2 > 0 else 0.0
    depth = c0 + c1 * offset / 2
    inside = c2 > 0 and 0 < best < len(x) - 1 and _within(x, offset) and depth >= -PLAUSIBLE
    if not inside:
        offset = depth = 0.0
    return RateCurve(
        learning_rate=exp(settings[best, 0] + offset),
        log_loss=float(means.min()) + depth,
        curvature=2 * c2,
        inside=inside,
    )


def fit_rate_surface(rates: ArrayLike, batch_sizes: ArrayLike, log_losses: ArrayLike) -> RateSurface:
    """Fit the quadratic surface of one cell to the runs near its optimum.

    Near is a weight, exp(-excess / NEAR), rather than a threshold: which runs a threshold lets in changes with the
    noise of the best one, and on the step law's cells thresholds up to 0.01 miss batches by a factor 1.5. Runs at the
    same setting (seeds) are averaged.

    Args:
        rates: (n,), of each run.
        batch_sizes: (n,), of each run, in any unit.
        log_losses: (n,), of each run.

    Raises:
        TooFewRunsError: fewer than 8 different settings, or they do not determine a surface (all on a line, say).
        FitError: a rate or batch is not positive, or a value not finite.
    """
    given = np.stack([logs_of("learning rate", rates), logs_of("batch size", batch_sizes)], axis=1)
    settings, means = _averaged(given, log_losses)
    if len(means) < 8:
        raise TooFewRunsError(f"a surface needs at least 8 different (rate, batch) settings, got {len(means)}")
    excess = np.minimum(means - means.min(), STEEP)
    best = settings[excess.argmin()]
    x, y = (settings - best).T
    columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    if np.linalg.matrix_rank(columns) < 6:
        raise TooFewRunsError(
            f"the {len(means)} settings do not determine a surface: try 3 rates at 3 batch sizes each"
        )
    c = _weighted(columns, excess, _near(excess))
    hessian = np.array([[2 * c[3], c[4]], [c[4], 2 * c[5]]])
    if np.linalg.eigvalsh(hessian)[0] > 0:
        offset = -np.linalg.solve(hessian, c[1:3])
        depth = float(c[0] + c[1:3] @ offset / 2)
        if depth >= -PLAUSIBLE and _within(x, offset[0]) and _within(y, offset[1]):
            return _surface_at(best + offset, float(means.min()) + depth, inside=True)
    return _surface_at(best, float(means.min()), inside=False)


def logs_of(name: str, values: ArrayLike) -> Array:
    """The logarithms of values that must be positive and finite, or a FitError that names the first that is not."""
    array = np.asarray(values, dtype=float)
    if wrong := [value for value in array.tolist() if not 0 < value < np.inf]:
        raise FitError(f"{name} must be positive and finite, got {wrong[0]:g}")
    logs: Array = np.log(array)
    return logs


def _averaged(settings: Array, log_losses: ArrayLike) -> tuple[Array, Array]:
    """The different settings in rising order (apart by 1e-6 of a rate or batch), and the mean log loss of each."""
    losses = np.asarray(log_losses, dtype=float)
    if not np.isfinite(losses).all():
        raise FitError(f"log loss must be finite, got {losses[~np.isfinite(losses)][0]:g}")
    _, first, of_run = np.unique(np.round(settings, 6), axis=0, return_index=True, return_inverse=True)
    of_run = of_run.ravel()  # its shape differs between versions of numpy
    return settings[first], np.bincount(of_run, losses) / np.bincount(of_run)


def _cut(excess: Array, best: int) -> tuple[Array, Array]:
    """The excess that counts at each rate of a curve, and its weight."""
    first = min(max(best - 1, 0), len(excess) - 3)
    three = slice(first, first + 3)
    weights = np.exp(-excess / NEAR)
    weights[three] = 1
    lesser = float(np.sort(excess[three])[1])  # that of the best is 0
    cut = excess.copy()  # beyond the three, a large excess has no weight
    cut[three] = np.minimum(cut[three], np.clip(STEEPER * lesser, FLAT, STEEP))
    return cut, weights


def _near(excess: Array) -> Array:
    """The weights of a surface."""
    width = NEAR
    while True:
        weights: Array = np.exp(-excess / width)
        if float(weights.sum()) ** 2 >= min(EFFECTIVE, len(excess) - 1) * (weights**2).sum():
            return weights
        width *= 1.1


def _weighted(columns: Array, values: Array, weights: Array) -> Array:
    """The coefficients of the columns (n, k) that fit the values (n,) best, in squares."""
    root: Array = np.sqrt(weights)
    solution: Array = np.linalg.lstsq(columns * root[:, None], values * root, rcond=None)[0].astype(np.float64)
    return solution


def _within(tried: Array, value: float) -> bool:
    return bool(tried.min() <= value <= tried.max())


def _surface_at(setting: Array, log_loss: float, *, inside: bool) -> RateSurface:
    return RateSurface(learning_rate=exp(setting[0]), batch_size=exp(setting[1]), log_loss=log_loss, inside=inside)
