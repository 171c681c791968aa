"""How much are repeated tokens worth? The law of Muennighoff et al. 2023 (arXiv 2305.16264, equation 5).

    D' = U + U R (1 - exp(-(D / U - 1) / R))   for D > U,   else D

U are the unique tokens of the training data, D the tokens of all passes over them, and D' the effective tokens: as many
fresh ones would teach as much. A second pass is worth nearly as much as the first, R more passes 63 % of R fresh ones,
and no number of them more than 1 + R. Laws are fitted to N and D' instead of D, and asked at D', so that only this
border knows of repetition. The paper's other half, that parameters in excess of the data count less too, is left out:
models here are pre-trained, so that the pairs of a fine-tuning are not all that their parameters have seen.

The measured runs give R and its uncertainty as the mean and standard deviation of log R under

    log p(R | losses)  =  - h(R) - (log R - log REUSE)^2 / (2 SPREAD^2) + constant

with h(R) what a form of law leaves when it is fitted to D'(R): Huber's loss in units of its own dispersion, as the fits
minimise it, plus the form's parameters; the forms have a say by exp(-h). It is the profile likelihood of that noise
times a prior. So where few runs repeat, or all by the same factor, R is what the prior says, and its uncertainty widens
the intervals of choices that repeat. Runs that their repeated data made worse are no part of the law; Huber's loss
keeps them from deciding R.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.interpolate import PchipInterpolator
from scipy.special import logsumexp
from scipy.stats import norm

from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.misfit import series_of
from embudget.laws.problem import Points
from embudget.laws.sharing import JointFit, Sharing, fit_jointly
from embudget.laws.solve import HUBER, Objective, refine
from embudget.laws.surface import Kind, Surface
from embudget.runs.cells import Cell

REUSE = 15.0
"""R before anything is measured: 15.4 in the paper, from 182 runs of language models on C4."""
SPREAD = 0.6
"""Standard deviation of log R before anything is measured, which makes 5.6 to 40 in 90 % of the cases.
assumption: parts of the paper's own runs give 6 (up to 50 passes, at least 4e8 unique tokens) to 36 (up to 16 passes),
and contrastive pairs, whose negatives change with each pass, need not be worth the same."""
MOST_CELLS = 200
"""Cells that R is fitted to at most; of more, a random sample."""
_REACH, _POINTS = 3.0, 9  # standard deviations to each side of the grid of log R, and its points
_FINE = 401


class Repetition(Frozen):
    """What repeated tokens are worth, with its uncertainty."""

    reuse: PositiveFloat = Field(default=REUSE, le=1e6, description="R: extra passes that are ever worth as fresh ones")
    log_sd: NonNegativeFloat = Field(default=SPREAD, le=10, description="standard deviation of log R")
    fitted: bool = Field(default=False, description="whether measured runs repeated tokens; False: assumed")

    def effective(self, tokens: ArrayLike, unique_tokens: ArrayLike, deviation: float = 0.0) -> Array:
        """D' of tokens D with so many unique ones; D where these are more, or NaN.

        Args:
            tokens: D (m,) or one number.
            unique_tokens: U, likewise.
            deviation: of log R, in standard deviations.

        Example:
            >>> Repetition(reuse=15.0).effective([1e6, 2e6, 1e8], 1e6).round(-4).tolist()
            [1000000.0, 1970000.0, 15980000.0]
        """
        reuse = self.reuse * exp(deviation * self.log_sd)
        d, u = np.broadcast_arrays(np.asarray(tokens, dtype=float), np.asarray(unique_tokens, dtype=float))
        repeated = d > u
        passes = np.where(repeated, d / np.where(repeated, u, 1.0), 1.0)
        found: Array = np.where(repeated, u * (1 - reuse * np.expm1(-(passes - 1) / reuse)), d)
        return found

    def of_cells(self, cells: Sequence[Cell]) -> Array:
        """D' of each cell (n,)."""
        return self.effective([cell.tokens for cell in cells], unique_tokens_of(cells))

    def __str__(self) -> str:
        """R with its 90 % interval."""
        low, high = (self.reuse * exp(sign * 1.645 * self.log_sd) for sign in (-1, 1))
        return f"R {self.reuse:.3g} [{low:.3g}, {high:.3g}]"


def unique_tokens_of(cells: Sequence[Cell]) -> Array:
    """U of each cell (n,), infinite where it is not known, so that all tokens count as new."""
    return np.array([np.inf if cell.unique_tokens is None else cell.unique_tokens for cell in cells])


@dataclass(frozen=True)
class OnPairs:
    """A surface for training on so many unique tokens; what `Choices` and recipes ask instead of the surface itself.

    Where no token is repeated its answers are those of the surface, to the last bit.
    """

    surface: Surface
    repetition: Repetition
    unique_tokens: float | Array

    @property
    def noise(self) -> float:
        """Relative standard deviation of one run."""
        return self.surface.noise

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """As `Surface.log_draws`, each draw with its own R, the same for all choices."""
        logs = self.surface.log_draws(methods, model_params, self.repetition.effective(tokens, self.unique_tokens))
        slope = self._by_reuse(methods, model_params, tokens)
        return logs + _normal(len(logs))[:, None] * slope if slope.any() else logs

    def log_losses(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """The predicted log loss (m,) of m choices, the mean over the draws."""
        effective = self.repetition.effective(tokens, self.unique_tokens)
        logs: Array = self.surface.log_draws(methods, model_params, effective).mean(axis=0)
        return logs

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """As `Surface.predict`."""
        return self.surface.predict(method, model_params, float(self.repetition.effective(tokens, self.unique_tokens)))

    def interval(
        self, method: str, model_params: float, tokens: float, level: float = 0.9, of: Kind = "run"
    ) -> tuple[float, float]:
        """As `Surface.interval`, wider by what is not known of R."""
        low, high = self.intervals([method], np.array([model_params]), np.array([tokens]), level, of)
        return float(low[0]), float(high[0])

    def intervals(
        self, methods: Sequence[str], model_params: Array, tokens: Array, level: float = 0.9, of: Kind = "run"
    ) -> tuple[Array, Array]:
        """As `Surface.intervals`, wider by what is not known of R."""
        effective = self.repetition.effective(tokens, self.unique_tokens)
        slope = self._by_reuse(methods, model_params, tokens)
        return self.surface.intervals(methods, model_params, effective, level, of, slope**2)

    def with_discrepancy(self, gaps: Array, mean: Array, times: Array) -> Array:
        """As `Surface.with_discrepancy`."""
        return self.surface.with_discrepancy(gaps, mean, times)

    def _by_reuse(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """By how much a standard deviation of log R moves each log loss (m,); 0 where no token is repeated."""
        moved = np.zeros(len(methods))
        rows = np.flatnonzero(tokens > self.unique_tokens)
        if len(rows):
            unique = np.broadcast_to(self.unique_tokens, np.shape(tokens))[rows]
            few, names = self.repetition, [methods[row] for row in rows.tolist()]
            more, less = (
                self.surface.log_draws(names, model_params[rows], few.effective(tokens[rows], unique, sign)).mean(
                    axis=0
                )
                for sign in (1.0, -1.0)
            )
            moved[rows] = (more - less) / 2
        return moved


def _normal(count: int) -> Array:
    """Quantiles of the standard normal distribution (count,), in a fixed random order."""
    order = np.random.default_rng(0).permutation(count)
    quantiles: Array = norm.ppf((order + 0.5) / count)
    return quantiles


def fit_repetition(cells: Sequence[Cell], forms: Sequence[FormName], asymptote: float | None = None) -> Repetition:
    """Fit R to the cells; what is assumed of it where none of them repeats a token.

    Args:
        cells: with their unique tokens.
        forms: of law, the best of which is fitted at each R.
        asymptote: E in nats where it is given.
    """
    if not (np.array([cell.tokens for cell in cells]) > unique_tokens_of(cells)).any():
        return Repetition()
    every = Points.of(cells)
    rows = every.sampled(MOST_CELLS)
    few, points = [cell for cell, row in zip(cells, rows, strict=True) if row], every.where(rows)
    centre, sd = log(REUSE), SPREAD
    for _ in range(2):  # the second time with the noise that is left at about the right R, and on a finer grid
        log_reuses = centre + max(sd, SPREAD / _POINTS) * np.linspace(-_REACH, _REACH, _POINTS)
        centre, sd = _moments(log_reuses, _log_posterior(few, points, forms, asymptote, centre, log_reuses))
    return Repetition(reuse=exp(centre), log_sd=sd, fitted=True)


def _log_posterior(
    cells: Sequence[Cell],
    points: Points,
    forms: Sequence[FormName],
    asymptote: float | None,
    centre: float,
    log_reuses: Array,
) -> Array:
    """The logarithm of p(R | losses) at each log R (g,), from fits at the ``centre`` that are refined at the others."""
    log_ds = [np.log(Repetition(reuse=exp(x)).of_cells(cells)) for x in (centre, *log_reuses.tolist())]
    points = replace(points, log_d=log_ds[0])
    sharing: Sharing = "pooled" if len(points.kinds) > 1 else "shared"
    fits = [fit_jointly(FORMS[name], points, sharing, asymptote) for name in forms]
    noise = float(np.median([fit.noise for fit in fits]))
    best = min(fits, key=lambda fit: _huber(points, fit.log_fit, noise) + fit.parameters)
    share = series_of(points, points.log_loss - best.log_fit).effective / len(points)
    unit = _dispersion(points, best) / share
    misses = [
        [_huber(points, _refitted(fit, log_d), best.noise) / unit + fit.parameters for fit in fits]
        for log_d in log_ds[1:]
    ]
    found: Array = logsumexp(-np.array(misses), axis=1) - 0.5 * ((log_reuses - log(REUSE)) / SPREAD) ** 2
    return found


def _refitted(fit: JointFit, log_d: Array) -> Array:
    """The log losses (n,) of a fit that is refined with other tokens."""
    log_fit = np.empty(len(log_d))
    for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True):
        problem = replace(group.problem, log_d=log_d[group.rows] - group.centre_d)
        vectors, _ = refine(problem, vector[None], Objective.robust(fit.noise, prior))
        log_fit[group.rows] = problem.predict(vectors)[0]
    return log_fit


def _huber(points: Points, log_fit: Array, noise: float) -> float:
    """What the fits minimise, in units of the noise: half of the squares, but linear beyond HUBER noise levels."""
    deviations = np.abs(points.log_loss - log_fit) * np.sqrt(points.weights) / noise
    linear = HUBER * (deviations - HUBER / 2)
    return float(np.where(deviations < HUBER, deviations**2 / 2, linear).sum())


def _dispersion(points: Points, fit: JointFit) -> float:
    """What Huber's loss is to be divided by to be a log likelihood, E psi^2 / E psi' (Huber and Ronchetti 2009, 13.4).

    It makes up for a noise level, that of the median residual, which is off by chance or hides a long tail.
    """
    deviations = (points.log_loss - fit.log_fit) * np.sqrt(points.weights) / fit.noise
    pulls = np.clip(deviations, -HUBER, HUBER)
    freedom = max(len(points) - fit.parameters, 1.0)
    near = max(float((np.abs(deviations) < HUBER).mean()), 0.1)
    return max(float((pulls**2).sum()) / freedom / near, 0.1)


def _moments(grid: Array, logs: Array) -> tuple[float, float]:
    """Mean and standard deviation of a distribution whose log density is known on a grid (g,)."""
    fine = np.linspace(grid[0], grid[-1], _FINE)
    density = np.exp(PchipInterpolator(grid, logs)(fine) - logs.max())
    mean = float(np.average(fine, weights=density))
    return mean, float(np.sqrt(np.average((fine - mean) ** 2, weights=density)))
