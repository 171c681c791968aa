"""How a law is fitted: robust non-linear least squares for many fits of one law at once, from a grid of starts.

The objective of each fit is, over cells i with weights w and log residuals r = log L - log f,

    sum_i w_i huber(r_i; delta) + s^2/2 sum_k ((theta_k - centre_k) / sd_k)^2      theta: log E and log exponents

- The residuals are logarithms, since the noise of a loss is relative.
- delta = 1.345 s, with s the noise level: as efficient as least squares for normal noise (95 %), while a diverged run
  moves the law little. The fixed delta = 1e-3 that is usual for hundreds of runs amounts to least absolute residuals,
  which on the 9 to 60 cells of a small study would waste a third of the data. `benchmarks/objectives.py` has both.
- The second term is a weak prior on the log exponents theta: published exponents of N and D lie around 0.35, two thirds
  of them within a factor exp(0.5). It fades as the noise does, and keeps 9 noisy cells from exponents near 0.

It is minimised by damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963; `refine`). The R fits share the cells and
differ in targets, weights or starts, so that one call of numpy serves all of them; `tests/laws/test_solve.py` checks
the minima against scipy. The starts come from variable projection (Golub and Pereyra 1973; `projected_starts`): for
given exponents a linear form is a non-negative least-squares problem in E and the coefficients, solved exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from embudget.laws.forms import Array
from embudget.laws.problem import Problem

Rows = NDArray[np.intp]

HUBER = 1.345
"""delta in noise levels: 95 % efficiency for normal noise (Huber 1964)."""
PRIOR = {"a": (float(np.log(0.35)), 0.5), "b": (float(np.log(0.35)), 0.5), "D0": (-2.5, 2.0)}
"""Centre and standard deviation of the log of each exponent; D0 in units of the mean tokens: assumption, wide."""
COARSE = {"a": (0.1, 0.3, 0.7), "b": (0.1, 0.3, 0.7), "D0": (0.01, 0.3)}
"""Exponents that fits start from, in all combinations."""
BATCH_NUMBERS = 2e7
"""Derivatives held in memory at once, which take 160 MB."""
_BLOCK = 1024  # cells
_ROUNDS, _TOLERANCE, _SHRINK, _GROW, _MOST = 60, 1e-9, 0.3, 4.0, 1e8
_PROJECTIONS = 8  # Gauss-Newton rounds towards log residuals; small studies need 3 to 5


@dataclass(frozen=True)
class Prior:
    """What is expected of the logarithms of E (where it is fitted) and of the exponents, h of them together."""

    centre: Array
    """(1, h), or (R, h) for each fit its own"""
    sd: Array
    """(h,), infinite where nothing is expected"""

    def of(self, rows: slice) -> "Prior":
        """The part of a batch of fits; one centre for all of them stays as it is."""
        return self if len(self.centre) == 1 else Prior(self.centre[rows], self.sd)

    def strength(self, noise: float, parameters: int) -> Array:
        """The curvature (P,) that it adds to the objective at a noise level; 0 for the coefficients."""
        return np.pad((noise / self.sd) ** 2, (0, parameters - len(self.sd)))


@dataclass(frozen=True)
class Objective:
    """What is minimised: Huber's delta, and the prior with the noise level that it is weighed against."""

    delta: float = np.inf
    """relative residual beyond which a cell's pull no longer grows; infinite for least squares"""
    noise: float = 0.0
    """s, relative; 0 switches the prior off"""
    prior: Prior | None = None
    """None for `usual_prior`"""

    @classmethod
    def robust(cls, noise: float, prior: Prior | None = None) -> "Objective":
        """The one for a noise level: delta is HUBER times it."""
        return cls(HUBER * noise, noise, prior)


def usual_prior(problem: Problem) -> Prior:
    """What is expected of any law: nothing of E, moderate exponents."""
    centre, sd = zip(*([(0.0, np.inf)] * problem.free + [PRIOR[name] for name in problem.form.exponents]), strict=True)
    return Prior(np.array([centre]), np.array(sd))


def refine(
    problem: Problem, starts: Array, objective: Objective, targets: Array | None = None, weights: Array | None = None
) -> tuple[Array, Array]:
    """Fit from every start (R, P); each fit may have log losses (``targets``) and ``weights`` (R, n) of its own.

    Returns:
        The parameter vectors (R, P) and their objectives (R,).
    """
    size = max(1, int(BATCH_NUMBERS / (problem.parameters * len(problem.log_n))))
    fits = [
        _Batch(
            problem,
            problem.log_loss if targets is None else targets[rows],
            problem.weights if weights is None else weights[rows],
            replace(objective, prior=objective.prior.of(rows) if objective.prior else None),
        ).run(starts[rows])
        for rows in (slice(first, first + size) for first in range(0, len(starts), size))
    ]
    vectors, values = zip(*fits, strict=True)
    return np.concatenate(vectors), np.concatenate(values)


def gradient_of(problem: Problem, vector: Array, objective: Objective) -> tuple[float, Array]:
    """The objective of one parameter vector (P,), and its gradient (P,)."""
    batch, only = _Batch(problem, problem.log_loss, problem.weights, objective), np.zeros(1, dtype=np.intp)
    gradient, _ = batch.quadratic(vector[None], only)
    return float(batch.value(vector[None], only)[0]), gradient[0]


def curvature(problem: Problem, vector: Array, objective: Objective) -> tuple[Array, Array]:
    """The Gauss-Newton curvature of the data's part (P, P) at a fit (1, P), and that of the prior (P,)."""
    batch = _Batch(problem, problem.log_loss, problem.weights, objective)
    _, whole = batch.quadratic(vector, np.zeros(1, dtype=np.intp))
    strength = batch.prior.strength(objective.noise, problem.parameters)
    return whole[0] - np.diag(strength), strength


class _Batch:
    """Fits that are iterated together; ``active`` rows are those that have not converged yet."""

    def __init__(self, problem: Problem, targets: Array, weights: Array, objective: Objective) -> None:
        self.problem, self.objective = problem, objective
        self.targets, self.weights = np.atleast_2d(targets), np.atleast_2d(weights)
        self.prior = objective.prior or usual_prior(problem)
        self.head = len(self.prior.sd)
        self.strength = self.prior.strength(objective.noise, self.head)

    def run(self, vectors: Array) -> tuple[Array, Array]:
        low, high = self.problem.bounds
        vectors = np.clip(vectors, low, high)
        damping = np.full(len(vectors), 1e-2)
        active = np.arange(len(vectors))
        value = self.value(vectors, active)
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

    def _rows(self, array: Array, active: Rows) -> Array:
        return array if len(array) == 1 else array[active]

    def value(self, vectors: Array, active: Rows) -> Array:
        residuals = np.abs(self._rows(self.targets, active) - self.problem.predict(vectors))
        quadratic = np.minimum(residuals, self.objective.delta)
        value: Array = (self._rows(self.weights, active) * quadratic * (residuals - 0.5 * quadratic)).sum(axis=1)
        off = vectors[:, : self.head] - self._rows(self.prior.centre, active)
        value += 0.5 * (self.strength * off**2).sum(axis=1)
        return value

    def quadratic(self, vectors: Array, active: Rows) -> tuple[Array, Array]:
        """The objective's gradient (R, P) and Gauss-Newton curvature (R, P, P)."""
        predicted, jacobian = self.problem.linearise(vectors)
        residuals = self._rows(self.targets, active) - predicted
        robust = self._rows(self.weights, active) * np.minimum(
            1.0, self.objective.delta / np.maximum(np.abs(residuals), 1e-300)
        )
        weighted = jacobian * robust[:, None, :]
        gradient = -(weighted @ residuals[:, :, None])[:, :, 0]
        curvature = _products(weighted, jacobian)
        off = vectors[:, : self.head] - self._rows(self.prior.centre, active)
        gradient[:, : self.head] += self.strength * off
        places = np.arange(self.head)
        curvature[:, places, places] += self.strength
        return gradient, curvature


def _products(left: Array, right: Array) -> Array:
    """The sums over the cells (R, P, P) of products of two derivatives (R, P, n) each.

    The blocks are so small that BLAS uses one thread. With several, its threads waiting for each other on a busy
    machine took 20 times as long for 97,000 cells.
    """
    products = np.zeros((len(left), left.shape[1], left.shape[1]))
    for first in range(0, left.shape[2], _BLOCK):
        block = slice(first, first + _BLOCK)
        products += left[:, :, block] @ right[:, :, block].transpose(0, 2, 1)
    return products


def _solve(gradient: Array, curvature: Array, damping: Array, fixed: NDArray[np.bool_]) -> Array:
    """The damped Gauss-Newton step (R, P), in which parameters held at a bound do not move."""
    count = gradient.shape[1]
    free = ~fixed
    curvature = np.where(free[:, :, None] & free[:, None, :], curvature, 0.0)
    places = np.arange(count)
    diagonal = curvature[:, places, places]
    curvature[:, places, places] += damping[:, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + fixed
    step = np.linalg.solve(curvature, -(gradient * free)[:, :, None])[:, :, 0]
    return np.clip(step, -2.0, 2.0)  # logs: no parameter changes by more than a factor e^2 in a step


def projected_starts(problem: Problem) -> Array:
    """The best parameter vectors at a coarse grid of exponents (R, P); a rough guess where the form is not linear."""
    starting = project if problem.form.linear else _rough
    return np.array([starting(problem, np.array(exponents)) for exponents in exponent_grid(problem, COARSE)])


def exponent_grid(problem: Problem, values: dict[str, tuple[float, ...]]) -> Iterable[tuple[float, ...]]:
    """All combinations of the values of the form's exponents."""
    return product(*(values[name] for name in problem.form.exponents))


def project(problem: Problem, exponents: Array) -> Array:
    """Least squares of log residuals in E and the coefficients, for given exponents (k,): a parameter vector (P,).

    Log residuals are not linear in the loss. They are reached by Gauss-Newton steps around the last fit, each of them
    one non-negative least-squares problem.
    """
    columns = columns_of(problem, exponents)
    given = 0.0 if problem.asymptote is None else problem.asymptote
    fit = np.exp(problem.log_loss)
    for _ in range(_PROJECTIONS):
        root = np.sqrt(problem.weights) / fit
        target = fit * (1 + problem.log_loss - np.log(fit))  # log L = log f + (f' - f) / f
        solved = non_negative(columns * root[:, None], (target - given) * root)
        last, fit = fit, np.maximum(columns @ solved + given, 1e-300)
        if np.abs(fit / last - 1).max() < 1e-9:
            break
    return problem.join(float(solved[0]) if problem.free else given, exponents, solved[problem.free :])


def columns_of(problem: Problem, exponents: Array) -> Array:
    """What E (where it is fitted) and each coefficient of the basis are multiplied with in the loss (n, columns)."""
    held = tuple(np.array([[value]]) for value in exponents)
    ones = tuple(np.ones((1, len(problem.log_n))) for _ in problem.form.coefficients)
    _, _, _, by_coefficients = problem.form.gradient(np.zeros((1, 1)), held, ones, problem.log_n, problem.log_d)
    columns = [problem.basis * derivative[0][:, None] for derivative in by_coefficients]
    return np.hstack([np.ones((len(problem.log_n), problem.free)), *columns])


def non_negative(columns: Array, target: Array) -> Array:
    """Non-negative least squares; a tall problem is first turned into a small one with the same solution."""
    if len(columns) > 4 * columns.shape[1]:  # R alone: forming Q is 100 times slower where BLAS has several threads
        both: Array = np.asarray(np.linalg.qr(np.column_stack([columns, target]), mode="r"))
        columns, target = both[:, :-1], both[:, -1]
    return nnls(columns, target, maxiter=100 * columns.shape[1])[0]


def _rough(problem: Problem, exponents: Array) -> Array:
    """Half of the lowest loss for E, and the rest spread evenly over the coefficients."""
    typical, asymptote = float(np.exp(problem.log_loss.mean())), 0.5 * float(np.exp(problem.log_loss.min()))
    count = len(problem.form.coefficients) * problem.basis.shape[1]
    return problem.join(asymptote, exponents, np.full(count, (typical - asymptote) / len(problem.form.coefficients)))
