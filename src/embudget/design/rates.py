"""Which learning rate is the best of a pilot's runs expected near, and how surely is it known?

    expected    the middle one of the rates that a pilot tries
    belief      what the best rates may truly be: simulated worlds are drawn from it, whatever the pilot measures

Both are by the laws' law of the rate, of their own family and of others: a rate carried over from another family is
nearer than a default that was made for no study. Without a law of the rate it is that of the nearest measured cell on
the measured family, and else the method's default.

A best rate grows with the square root of the batch (`studies/ablations.yaml`, 8 to 32 pairs); this is followed by at
most the factor `REACH`.
"""

from math import exp, log
from typing import NamedTuple

import numpy as np

from embudget.design.simulate import TrueRate
from embudget.laws.rate_points import CURVATURE
from embudget.laws.rates import REACH, RateLaw, rate_text
from embudget.methods import Method, kind_of
from embudget.recipe import Recipe
from embudget.recipe.batch_size import DEFAULT_BATCH_SIZE
from embudget.recipe.hyperparameters import learning_rate_for, nearest_cell
from embudget.recipe.options import Question
from embudget.recipe.support import of_measured_family
from embudget.suite import ModelShape, find_shape

SIZE_SLOPE, TOKENS_SLOPE, SLOPE_SD = -0.21, -0.21, 0.15
"""Slopes of the best rate's logarithm in log N and log D where the laws have none: those of 30 cells on SmolLM2
(`studies/smollm2.yaml`)."""
RATE_SD = 0.72
"""Standard deviation of the log of a method's best rate about the one expected, where no law of the rate was measured,
or on another family. assumption: a factor of 2."""
BATCH_SD = 0.5
"""Standard deviation of the logarithm of a best rate's growth with the batch, as a share of it: no growth at all and
twice as much in logarithms are two deviations off. assumption."""
MIDDLE = 1000
"""A pilot's middle budget is the target's over this: where a default rate is believed to hold, give or take."""


class Expected(NamedTuple):
    """The rate that the best one is expected near."""

    rate: float
    """To 2 digits."""
    source: str
    """Where it comes from, in words."""
    warning: str | None
    """Where it lies beyond a factor `REACH` of any best rate measured of the method."""


def expected(question: Question, method: Method, shape: ModelShape, budget: float, batch_size: int) -> Expected:
    """The rate expected to be the best of a run, at its batch."""
    laws, name = question.laws, str(method)
    cell = nearest_cell(method, shape.model_params, budget, laws.cells)
    if (laws.rate_law is not None and name in laws.rate_law.methods) or of_measured_family(question):
        known = learning_rate_for(laws, cell, method, shape, budget / method.flops_per_token(shape))
        rate, source, measured = known.rate, known.source, cell.batch_size
    else:
        rate, source, measured = method.default_learning_rate(shape), f"the default of {name}", None
    grown = _grown(batch_size, measured)
    if grown != 1:
        source += f"; times {grown:.2g}, for the batch of {batch_size}"
    rate = float(rate_text(rate * grown))
    return Expected(rate, source, _far(laws.rate_law, name, rate))


def _grown(batch_size: int, measured: float | None) -> float:
    """Factor by which a best rate is expected to grow from the measured batch to this one."""
    return float(np.clip((batch_size / (measured or DEFAULT_BATCH_SIZE)) ** 0.5, 1 / REACH, REACH))


def _far(law: RateLaw | None, method: str, rate: float) -> str | None:
    if law is None or method not in law.methods:
        return None
    times = law.beyond(method, rate)
    if 1 / REACH <= times <= REACH:
        return None
    low, high = (rate_text(one) for one in law.measured[method])
    return (
        f"{rate_text(rate)} of {method} is {max(times, 1 / times):.2g} times {'above' if times > 1 else 'below'} any "
        f"best rate measured of it ({low} to {high}): if the best of the three lies at an end, try the next one too"
    )


class Belief(NamedTuple):
    """What the best rates of a method may truly be: a power law with uncertain coefficients."""

    centre: tuple[float, float]
    """log N and log D, where the rate is known best."""
    log_rate: float
    """The logarithm of the best rate there, at the pilot's batch."""
    slopes: tuple[float, float]
    covariance: tuple[tuple[float, ...], ...]
    """(3, 3) of the log rate at the centre and the slopes."""
    curvature: float
    """Log loss per squared log of rate / best rate."""

    def draw(self, rng: np.random.Generator) -> TrueRate:
        """One truth."""
        off = rng.multivariate_normal(np.zeros(3), np.array(self.covariance), method="eigh")
        p, q = self.slopes[0] + float(off[1]), self.slopes[1] + float(off[2])
        x, z = self.centre
        at = exp(self.log_rate + float(off[0]) + p * (log(1e7) - x) + q * (log(1e6) - z))
        return TrueRate(at=at, p=p, q=q, curvature=self.curvature)


def belief(question: Question, guess: Recipe, method: Method, batch_size: int) -> Belief:
    """What the laws say of a method's best rates at a batch, with how unsure they are; else the defaults.

    It depends on the laws, the target and the batch alone, not on the members, budgets and rates that a pilot measures.
    """
    laws, name = question.laws, str(method)
    law, family = laws.rate_law, of_measured_family(question)
    shape, other = find_shape(guess.model), 0.0 if family else RATE_SD**2
    cell = nearest_cell(method, shape.model_params, guess.train_flops / MIDDLE, laws.cells)
    if law is not None and name in law.methods:
        line, centre, slopes = law.lines[name], law.centre, law.slopes(name)
        kk, kp, kq, pp, pq, qq = line.covariance
        rate, measured = law.predict(name, exp(centre[0]), exp(centre[1])), cell.batch_size
        curvature = law.curvatures.get(kind_of(name), CURVATURE)
        variance = kk + line.scatter**2 + other
    else:
        (kp, kq, pq), (pp, qq), slopes = (0.0, 0.0, 0.0), (SLOPE_SD**2, SLOPE_SD**2), (SIZE_SLOPE, TOKENS_SLOPE)
        curvature, variance = CURVATURE, RATE_SD**2
        if family and cell.learning_rate is not None:
            centre, rate, measured = (log(cell.model_params), log(cell.tokens)), cell.learning_rate, cell.batch_size
        else:
            part = MIDDLE**-0.5
            centre = log(guess.model_params * part), log(guess.tokens * part)
            rate, measured = method.default_learning_rate(shape), None
    grown = log(_grown(batch_size, measured))
    return Belief(
        centre=centre,
        log_rate=log(rate) + grown,
        slopes=slopes,
        covariance=((variance + (BATCH_SD * grown) ** 2, kp, kq), (kp, pp, pq), (kq, pq, qq)),
        curvature=curvature,
    )
