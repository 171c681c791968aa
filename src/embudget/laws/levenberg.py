"""Robust non-linear least squares for many fits of one law at once (Levenberg 1944, Marquardt 1963).

The objective of each fit is, over cells i with weights w and log residuals r = log L - log f,

    sum_i w_i huber(r_i; delta) + s^2/2 sum_k ((theta_k - centre_k) / sd_k)^2      theta: log E and log exponents

- Log residuals, since the noise of a loss is relative.
- delta = 1.345 s, with s the noise level: as efficient as least squares for normal noise (95 %), and a diverged run
  moves the law little. The fixed delta = 1e-3 that is usual for hundreds of runs amounts to least absolute residuals,
  which on the 9 to 60 cells of a small study wastes a third of the data; it can be asked for.
- The second term is a weak prior on the log exponents theta: published exponents of N and D lie around 0.35, two thirds
  of them within a factor exp(0.5). It fades as the noise does and keeps a study of 9 noisy cells from exponents near 0.

The R fits share the cells and differ in targets, weights or starts, so that one call of numpy serves all of them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embudget.laws.base import Array
from embudget.laws.problem import Problem

Rows = NDArray[np.intp]

HUBER = 1.345
"""delta in noise levels: 95 % efficiency for normal noise (Huber 1964)."""
PRIOR = {"a": (float(np.log(0.35)), 0.5), "b": (float(np.log(0.35)), 0.5), "D0": (-2.5, 2.0)}
"""Centre and standard deviation of the log of each exponent; D0 in units of the mean tokens: assumption, wide."""
BATCH_NUMBERS = 2e7
"""Derivatives held at once: 160 MB."""
_BLOCK = 1024  # cells
_ROUNDS, _TOLERANCE, _SHRINK, _GROW, _MOST = 60, 1e-9, 0.3, 4.0, 1e8


@dataclass(frozen=True)
class Prior:
    """Where the logarithms of E (where it is fitted) and of the exponents are expected: h of them."""

    centre: Array
    """(1, h), or (R, h) for each fit its own"""
    sd: Array
    """(h,), infinite where nothing is expected"""

    def of(self, rows: slice) -> "Prior":
        """For some of the fits."""
        return self if len(self.centre) == 1 else Prior(self.centre[rows], self.sd)


@dataclass(frozen=True)
class Objective:
    """What is minimised, besides the problem and its targets."""

    delta: float = np.inf
    """where a residual stops to count by its square; relative"""
    noise: float = 0.0
    """s, the noise level that the prior is weighed against; 0 for no prior"""
    prior: Prior | None = None
    """None for the usual one"""


def usual_prior(problem: Problem) -> Prior:
    """What is expected of any law: nothing of E, moderate exponents."""
    centre, sd = zip(*([(0.0, np.inf)] * problem.free + [PRIOR[name] for name in problem.form.exponents]), strict=True)
    return Prior(np.array([centre]), np.array(sd))


def refine(
    problem: Problem, starts: Array, objective: Objective, targets: Array | None = None, weights: Array | None = None
) -> tuple[Array, Array]:
    """Fit from every start.

    Args:
        problem: form, cells and weights.
        starts: parameter vectors (R, P).
        objective: what is minimised.
        targets: log losses (R, n) instead of the measured ones.
        weights: (R, n) instead of the problem's.

    Returns:
        The parameter vectors (R, P) and their objectives (R,).
    """
    size = max(1, int(BATCH_NUMBERS / (problem.parameters * len(problem.log_n))))
    fits = []
    for first in range(0, len(starts), size):
        rows = slice(first, first + size)
        fits.append(
            _Batch(
                problem,
                problem.log_loss if targets is None else targets[rows],
                problem.weights if weights is None else weights[rows],
                replace(objective, prior=objective.prior.of(rows) if objective.prior else None),
            ).run(starts[rows])
        )
    vectors, values = zip(*fits, strict=True)
    return np.concatenate(vectors), np.concatenate(values)


def gradient_of(problem: Problem, vector: Array, objective: Objective) -> tuple[float, Array]:
    """The objective of one parameter vector (P,), and its gradient (P,)."""
    batch = _Batch(problem, problem.log_loss, problem.weights, objective)
    gradient, _ = batch.quadratic(vector[None], np.zeros(1, dtype=np.intp))
    return float(batch.value(vector[None])[0]), gradient[0]


def curvature(problem: Problem, vector: Array, objective: Objective) -> tuple[Array, Array]:
    """The Gauss-Newton curvature of the data's part (P, P) at a fit (1, P), and that of the prior (P,)."""
    batch = _Batch(problem, problem.log_loss, problem.weights, objective)
    _, whole = batch.quadratic(vector, np.zeros(1, dtype=np.intp))
    strength = np.zeros(problem.parameters)
    strength[: batch.head] = batch.strength
    return whole[0] - np.diag(strength), strength


class _Batch:
    def __init__(self, problem: Problem, targets: Array, weights: Array, objective: Objective) -> None:
        self.problem, self.objective = problem, objective
        self.targets, self.weights = np.atleast_2d(targets), np.atleast_2d(weights)
        prior = objective.prior or usual_prior(problem)
        self.centre, self.strength = prior.centre, (objective.noise / prior.sd) ** 2
        self.head = len(prior.sd)

    def run(self, vectors: Array) -> tuple[Array, Array]:
        low, high = self.problem.bounds
        vectors = np.clip(vectors, low, high)
        value = self.value(vectors)
        damping = np.full(len(vectors), 1e-2)
        active = np.arange(len(vectors))
        for _ in range(_ROUNDS):
            gradient, curvature = self.quadratic(vectors[active], active)
            at_low, at_high = vectors[active] <= low, vectors[active] >= high
            fixed = (at_low & (gradient > 0)) | (at_high & (gradient < 0))
            step = _solve(gradient, curvature, damping[active], fixed)
            trial = np.clip(vectors[active] + step, low, high)
            tried = self.value(trial, active)
            better = tried <= value[active]
            gain = value[active] - tried
            done = better & (gain <= _TOLERANCE * (1e-12 + value[active])) | (damping[active] >= _MOST)
            vectors[active[better]], value[active[better]] = trial[better], tried[better]
            damping[active] = np.where(better, damping[active] * _SHRINK, damping[active] * _GROW)
            active = active[~done]
            if not len(active):
                break
        return vectors, value

    def _rows(self, array: Array, active: Rows | None) -> Array:
        return array if active is None or len(array) == 1 else array[active]

    def value(self, vectors: Array, active: Rows | None = None) -> Array:
        residuals = np.abs(self._rows(self.targets, active) - self.problem.predict(vectors))
        quadratic = np.minimum(residuals, self.objective.delta)
        value: Array = (self._rows(self.weights, active) * quadratic * (residuals - 0.5 * quadratic)).sum(axis=1)
        off = vectors[:, : self.head] - self._rows(self.centre, active)
        value += 0.5 * (self.strength * off**2).sum(axis=1)
        return value

    def quadratic(self, vectors: Array, active: Rows) -> tuple[Array, Array]:
        """Gradient (R, P) and Gauss-Newton curvature (R, P, P) of the objective."""
        predicted, jacobian = self.problem.linearise(vectors)
        residuals = self._rows(self.targets, active) - predicted
        robust = self._rows(self.weights, active) * np.minimum(
            1.0, self.objective.delta / np.maximum(np.abs(residuals), 1e-300)
        )
        weighted = jacobian * robust[:, None, :]
        gradient = -(weighted @ residuals[:, :, None])[:, :, 0]
        curvature = _products(weighted, jacobian)
        off = vectors[:, : self.head] - self._rows(self.centre, active)
        gradient[:, : self.head] += self.strength * off
        places = np.arange(self.head)
        curvature[:, places, places] += self.strength
        return gradient, curvature


def _products(left: Array, right: Array) -> Array:
    """The sums over the cells (R, P, P) of products of two derivatives (R, P, n) each.

    In blocks so small that BLAS uses one thread: its threads waiting for each other on a busy machine took 20 times as
    long for 97,000 cells.
    """
    products = np.zeros((len(left), left.shape[1], left.shape[1]))
    for first in range(0, left.shape[2], _BLOCK):
        block = slice(first, first + _BLOCK)
        products += left[:, :, block] @ right[:, :, block].transpose(0, 2, 1)
    return products


def _solve(gradient: Array, curvature: Array, damping: Array, fixed: NDArray[np.bool_]) -> Array:
    """The damped Gauss-Newton step (R, P); parameters held at a bound do not move."""
    count = gradient.shape[1]
    free = ~fixed
    curvature = np.where(free[:, :, None] & free[:, None, :], curvature, 0.0)
    places = np.arange(count)
    diagonal = curvature[:, places, places]
    curvature[:, places, places] += damping[:, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + fixed
    step = np.linalg.solve(curvature, -(gradient * free)[:, :, None])[:, :, 0]
    limited: Array = np.clip(step, -2.0, 2.0)  # logs: no parameter changes by more than a factor e^2 in a step
    return limited
