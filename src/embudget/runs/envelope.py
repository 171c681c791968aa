"""The loss of a cell at its best learning rate, or its best rate and batch size, between those that were tried.

    log loss = c0 + c1 x + c2 x^2,  x = log rate;     with batch sizes, y = log batch:  ... + c3 y + c4 x y + c5 y^2

The cell's loss is that at the minimum of this quadratic, its *vertex*. Chinchilla takes the lower envelope of its
training curves (Hoffmann et al. 2022, approach 1); here the envelope is over the settings tried in one cell. The lowest
measured loss would not do, because the optimum is flat and noise decides which run is lowest: on the 17 cells of the
step law (Li et al. 2025, arXiv 2503.04715) its rate is up to a factor 1.71 from the published law and its batch size up
to 1.89, those of the vertex 1.26 and 1.33.

A quadratic holds only near the optimum: a rate twice too high may diverge, while one twice too low hardly matters. So a
run counts with weight exp(-excess / NEAR), where its *excess* is its log loss above the lowest, and a large excess is
cut. This was checked on the 355 triples of rates in the step law's runs that are 4 times apart at one batch size with
the best in the middle. The vertex of a plain parabola lies up to 13 % below the lowest loss at that batch size, and is
off by 5.1 % in root mean square; with the cut it lies at most 0.5 % below and 1.2 % above it, and is off by 0.2 %.

Where the best rate is the lowest or the highest that was tried, or the parabola was cut, or there are two rates alone,
the slope of the log loss between the two best still tells how far the optimum lies from their middle, once c2 is known
from other cells:

    log best rate = log middle - slope / (2 c2)

On the step law's triples with the best rate at an end, this distance, with one c2 for all, correlates with the true one
by 0.83 (lowest rate the best) and 0.92 (highest), and is right within 40 % (`embudget.laws.rate_points`).
"""

from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveFloat

from embudget.errors import FitError, TooFewRunsError
from embudget.frozen import Frozen

Array = NDArray[np.float64]

NEAR = 0.005
"""Excess at which a run's weight has fallen to 1/e. On the step law's 17 cells any value from 0.004 to 0.02 gives rates
within a factor 1.6 of the published ones, and batch sizes within 1.4. A smaller one follows noise; a larger one follows
the flanks, which are no parabola."""
EFFECTIVE = 12
"""Effective number of settings, (sum w)^2 / sum w^2, that a surface must rest on: twice its 6 coefficients. Where
losses are noisy or settings few, NEAR is widened until it does; with fewer than 13 settings all but one suffice."""
STEEPER, FLAT, STEEP = 4.0, 0.02, 0.2
"""Cap the excess of the worse of the two rates beside the best, so that one diverged run cannot drag the minimum: at
STEEPER times the excess of the better one, but not below FLAT and not above STEEP. With evenly spaced rates the vertex
is then at most 1.1 % below the lowest loss."""
PLAUSIBLE = 0.02
"""How far a vertex may lie below the lowest measured log loss. A deeper one is an artefact and not used."""


class Vertex(Frozen):
    """The best setting of one cell, and the loss there."""

    learning_rate: PositiveFloat
    batch_size: PositiveFloat | None = Field(
        default=None, description="in the unit it was given in, not rounded; None where only rates were compared"
    )
    log_loss: float = Field(description="at that setting, mean over seeds")
    inside: bool | None = Field(
        description="True: the minimum lies between tried settings; False: there is none, this is the best one tried; "
        "None: so it is, but two rates could not have told a minimum"
    )
    curvature: PositiveFloat | None = Field(
        default=None,
        description="c2 of the log rate at a minimum; None where there is none, or a rate's excess was cut",
    )
    middle: PositiveFloat | None = Field(
        default=None, description="half way, in log rate, between the best rate tried and the better of those beside it"
    )
    slope: float | None = Field(
        default=None,
        description="of log loss in log rate at the middle; None where it is steeper than an excess counts",
    )


def fit_rate_curve(rates: ArrayLike, log_losses: ArrayLike) -> Vertex:
    """Fit a parabola to the log losses (n,) of one cell by their rates (n,).

    The best rate and its two neighbours have the weight 1, all others less, the larger their excess. So the parabola of
    three rates goes through them, unless the excess of one is cut. Two rates have none, but a slope between them. Runs
    at the same rate (seeds) are averaged first.

    Example:
        >>> fit_rate_curve([1e-3, 2.5e-3, 6e-3], np.log([3.1, 3.0, 3.2])).learning_rate
        0.0021189360164098527

    Raises:
        TooFewRunsError: fewer than 2 different rates.
        FitError: a rate is not positive, or a value not finite.
    """
    settings, means = _averaged(logs_of("learning rate", rates)[:, None], log_losses)
    if len(means) < 2:
        raise TooFewRunsError(f"a learning rate can be compared with another one only, got {len(means)} rate")
    best = int(means.argmin())
    x = settings[:, 0] - settings[best, 0]
    middle, slope = _beside(x, means, best)
    beside = {"middle": exp(settings[best, 0] + middle), "slope": slope}
    if len(means) == 2:
        return Vertex(learning_rate=exp(settings[best, 0]), log_loss=float(means[best]), inside=None, **beside)
    excess, weights = _cut(means - means.min(), best)
    c0, c1, c2 = _weighted(np.stack([np.ones_like(x), x, x * x], axis=1), excess, weights).tolist()
    offset = -c1 / (2 * c2) if c2 > 0 else 0.0
    depth = c0 + c1 * offset / 2
    inside = c2 > 0 and 0 < best < len(x) - 1 and _within(x, offset) and depth >= -PLAUSIBLE
    if not inside:
        offset = depth = 0.0
    whole = bool((excess == means - means.min()).all())
    return Vertex(
        learning_rate=exp(settings[best, 0] + offset),
        log_loss=float(means.min()) + depth,
        inside=inside,
        curvature=c2 if inside and whole else None,
        **beside,
    )


def fit_rate_surface(rates: ArrayLike, batch_sizes: ArrayLike, log_losses: ArrayLike) -> Vertex:
    """Fit a quadratic surface to the log losses (n,) of one cell by their rates and batch sizes (n,), in any unit.

    Runs near the optimum count by their weight, exp(-excess / NEAR), and not by a threshold: which runs a threshold
    lets in changes with the noise of the best one, and on the step law's cells thresholds up to 0.01 miss the batch
    size by a factor 1.5. Runs at the same rate and batch size (seeds) are averaged first.

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
    offset, depth, inside = np.zeros(2), 0.0, False
    if np.linalg.eigvalsh(hessian)[0] > 0:
        offset = -np.linalg.solve(hessian, c[1:3])
        depth = float(c[0] + c[1:3] @ offset / 2)
        inside = depth >= -PLAUSIBLE and _within(x, offset[0]) and _within(y, offset[1])
    rate, batch = best + offset if inside else best
    return Vertex(
        learning_rate=exp(rate),
        batch_size=exp(batch),
        log_loss=float(means.min()) + (depth if inside else 0.0),
        inside=inside,
        curvature=float(c[3]) if inside else None,
    )


def logs_of(name: str, values: ArrayLike) -> Array:
    """The logarithms of values (n,).

    Raises:
        FitError: a value is not positive and finite; the first such is named.
    """
    array = np.asarray(values, dtype=float)
    if wrong := [value for value in array.tolist() if not 0 < value < np.inf]:
        raise FitError(f"{name} must be positive and finite, got {wrong[0]:g}")
    logs: Array = np.log(array)
    return logs


def _averaged(settings: Array, log_losses: ArrayLike) -> tuple[Array, Array]:
    """The different settings in rising order, and the mean log loss of each; a relative 1e-6 is no difference."""
    losses = np.asarray(log_losses, dtype=float)
    if not np.isfinite(losses).all():
        raise FitError(f"log loss must be finite, got {losses[~np.isfinite(losses)][0]:g}")
    _, first, of_run = np.unique(np.round(settings, 6), axis=0, return_index=True, return_inverse=True)
    of_run = of_run.ravel()  # its shape differs between versions of numpy
    return settings[first], np.bincount(of_run, losses) / np.bincount(of_run)


def _cut(excess: Array, best: int) -> tuple[Array, Array]:
    """The excess of each rate of a curve after the cap, and its weight."""
    first = min(max(best - 1, 0), len(excess) - 3)
    three = slice(first, first + 3)
    weights = np.exp(-excess / NEAR)
    weights[three] = 1
    lesser = float(np.sort(excess[three])[1])  # the first is that of the best, which is 0
    cut = excess.copy()  # all others keep theirs, since a large excess has hardly any weight
    cut[three] = np.minimum(cut[three], np.clip(STEEPER * lesser, FLAT, STEEP))
    return cut, weights


def _beside(x: Array, means: Array, best: int) -> tuple[float, float | None]:
    """The middle between the best rate and the better one beside it, and the slope of the log loss there."""
    beside = min((place for place in (best - 1, best + 1) if 0 <= place < len(x)), key=lambda place: means[place])
    slope = float((means[beside] - means[best]) / (x[beside] - x[best]))
    return float(x[best] + x[beside]) / 2, slope if means[beside] - means[best] <= STEEP else None


def _near(excess: Array) -> Array:
    """The weights of the settings of a surface: those of NEAR, or of the least wider one that meets EFFECTIVE."""
    width = NEAR
    while True:
        weights: Array = np.exp(-excess / width)
        if float(weights.sum()) ** 2 >= min(EFFECTIVE, len(excess) - 1) * (weights**2).sum():
            return weights
        width *= 1.1


def _weighted(columns: Array, values: Array, weights: Array) -> Array:
    """The weighted least-squares coefficients (k,) of the columns (n, k) for the values (n,)."""
    root: Array = np.sqrt(weights)
    return np.linalg.lstsq(columns * root[:, None], values * root, rcond=None)[0].astype(np.float64)


def _within(tried: Array, value: float) -> bool:
    return bool(tried.min() <= value <= tried.max())
