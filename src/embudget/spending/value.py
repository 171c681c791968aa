"""What is a step worth? By how much it is expected to lower the loss of the final run, and what its FLOP cost that run.

With G the log losses of the final run of every arm in each row of the ensemble (draws, A), mu their means, and f the
log loss that a step would measure, with its noise s, the Kalman update moves mu by cov(G, z) Z, where z = (f - mean) /
sqrt(var f + s^2) and Z is standard normal. Two values follow:

    knowledge gradient    min mu - E min(mu + cov(G, z) Z): what the step alone gains (Frazier, Powell and Dayanik 2009)
    resolved regret       sum over arms a of  e_a corr^2(G_a - G_best, z): the share that the step resolves of what is
                          lost as long as one does not know that a is better than the best arm so far, e_a

The first is 0 where no single step can change the choice, however undecided it is, so that a search by it alone stops
at 1 % of a large budget. The second is what steps are worth together; `PATIENCE` of it counts. What a wrong rate costs,
curvature times the variance of the best rate, is resolved by the correlation with the best rate in the same way.

The cost of a step is what the final run loses by its FLOP: the fall of log L with log C, times -log(1 - cost / left).
A step on the trunk that the final run would go on from costs less, by the chance that it will.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from embudget.spending.prior import Array

PATIENCE = 0.25
"""How the credited share of the resolved regret grows with each factor 10 of the budget."""
NODES = np.asarray(norm.ppf((np.arange(16) + 0.5) / 16))


@dataclass(frozen=True)
class Finals:
    """What is believed of the final run of each arm."""

    logs: Array
    """G: log losses at the rates that would be chosen (draws, A)."""
    tuned: Array
    """The same at each row's own best rate."""
    rates: Array
    """Log of the best rates (draws, A)."""

    @property
    def best(self) -> int:
        """The arm that would be chosen now."""
        return int(np.argmin(self.logs.mean(axis=0)))

    @property
    def chances(self) -> Array:
        """Probability of each arm to end lowest (A,)."""
        lowest = self.logs.argmin(axis=1)
        return np.bincount(lowest, minlength=self.logs.shape[1]) / len(lowest)

    @property
    def regrets(self) -> Array:
        """e: what is expected to be lost to each arm as long as the best one is chosen (A,)."""
        lowest = self.logs.argmin(axis=1)
        gaps = self.logs[:, self.best] - self.logs.min(axis=1)
        return np.bincount(lowest, weights=gaps, minlength=self.logs.shape[1]) / len(lowest)


def patience(runs: float) -> float:
    """The share of the resolved regret that a step is credited with, where the budget is so many cheapest useful runs.

    The more further steps a budget affords, the more of what they resolve together can be had.
    """
    return float(np.clip(PATIENCE * (np.log10(max(runs, 1.0)) - 0.9), 0.1, 0.5))


def values(finals: Finals, seen: Array, noise: float, patient: float) -> Array:
    """The worth of S steps, in log loss (S,).

    Args:
        finals: what is believed of the final runs.
        seen: the log losses that the steps would measure (draws, S).
        noise: of a run, relative standard deviation.
        patient: the share of the resolved regret that counts.
    """
    draws = len(seen)
    z = (seen - seen.mean(axis=0)) / np.sqrt(seen.var(axis=0) + noise**2)
    mean, best = finals.logs.mean(axis=0), finals.best
    chances, regrets = finals.chances, finals.regrets
    near = np.union1d(np.flatnonzero(chances > 0), [best])
    off = finals.logs[:, near] - finals.logs[:, [best]]
    slopes = _shrunk((off - off.mean(axis=0)).T @ z / draws, off.var(axis=0), draws)  # (near, S)
    least = (mean[near] - mean[best])[:, None, None] + slopes[:, :, None] * NODES
    gradient = -least.min(axis=0).mean(axis=1)
    resolved = regrets[near] @ (slopes**2 / np.maximum(off.var(axis=0), 1e-12)[:, None])
    lost = chances * (finals.logs - finals.tuned).mean(axis=0)
    rates = finals.rates[:, near]
    of_rates = _shrunk((rates - rates.mean(axis=0)).T @ z / draws, rates.var(axis=0), draws)
    resolved += lost[near] @ (of_rates**2 / np.maximum(rates.var(axis=0), 1e-12)[:, None])
    found: Array = np.maximum(gradient, patient * resolved)
    return found


def _shrunk(slopes: Array, variances: Array, draws: int) -> Array:
    """Covariances (near, S) less what chance makes of so few draws: two standard errors of none at all, squared."""
    by_chance = 4 * variances[:, None] / draws
    shrunk: Array = slopes * np.sqrt(np.maximum(1 - by_chance / np.maximum(slopes**2, 1e-30), 0.0))
    return shrunk


def conditioned(finals: Finals, seen: Array, step: int, noise: float) -> tuple[Finals, Array]:
    """Finals and steps as if a step had been measured at its mean, to choose what another worker does meanwhile."""
    f = seen[:, step] - seen[:, step].mean()
    gain = f / (len(f) * (f.var() + noise**2))
    shrink = np.sqrt(noise**2 / (f.var() + noise**2))
    factor = 1 / (1 + shrink)  # deterministic (square root) update

    def less(values: Array) -> Array:
        moved: Array = values - factor * np.outer(f, gain @ (values - values.mean(axis=0)))
        return moved

    return Finals(less(finals.logs), less(finals.tuned), less(finals.rates)), less(seen)
