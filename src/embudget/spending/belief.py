"""What is believed after some measurements? Every row of the prior's ensemble, moved to what was measured.

Each row theta_0 of the prior is moved to the minimum of

    |theta - theta_0|^2 + sum over runs ((y + e - f(theta)) / s)^2,    e drawn from the errors of the measurements

by Gauss-Newton steps (randomized maximum likelihood: Kitanidis 1995; Chen and Oliver 2012). For laws that are linear in
theta the rows are then draws of the posterior, as those of an ensemble Kalman filter are; but no row follows the slopes
of the others, which left 5 to 15 % unexplained in a world that was looked at. All measurements count alike, in
whatever order they came.

The noise of a run is assumed at first (`NOISE`) and then learned from what the rows leave unexplained. A run that lies
far from all rows, as one that nearly diverged, is given an error of its own size, so that it moves them little. A run
that was no better than its start says that its law's loss is no lower; one that diverged, that its rate is too high,
by about e^2, give or take; one that failed says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from embudget.spending.allocation import Allocation, Measurement, Setting
from embudget.spending.known import told_by
from embudget.spending.law import (
    SHARPNESS,
    RunPoints,
    at_rates,
    base_logs,
    best_log_rate,
    by_law,
    capped,
    log_losses,
    points_of,
)
from embudget.spending.prior import NOTHING, Array, Basis, KnownLaws, arms_basis, normal_draws

NOISE, NOISE_RUNS = 0.012, 6.0
"""Assumption: relative standard deviation of a run about its law before any is measured, and the runs that this guess
counts as."""
MOST_NOISE = 0.04
"""What is learned of it at most: else laws that do not fit yet call everything noise, and are never moved to fit."""
SHARED = 0.5
"""Share of the noise's variance that runs of one trunk have in common (`results/smollm2`)."""
DIVERGED = (-2.0, 0.7)
"""Log of the best rate over one that diverged: mean and standard deviation, assumption."""
FIRST, SECOND = (16.0, 4.0, 1.5, 1.0), (1.0, 1.0)
"""By what the errors' variances are multiplied in each step, before the noise is learned and after."""
LEAST_LEARNED = 0.15
"""1 - (L / base)^s below which a run tells only that its law's loss is no less."""
FAR = 3.0
"""Noise levels beyond which a measurement's pull no longer grows."""
WIDEST = 5.0
"""Standard deviations that no number of a row leaves."""
MANY, FEW = 24, 150
"""With more measurements than `MANY`, which leave rows little apart, a decision takes this many rows, to be quick."""
LAW_SD = 0.02
"""How closely a row follows a draw of laws that are known, relative: assumption."""
BASE_SD = 0.08
"""Error of the bound that a run no better than its start sets, relative: assumption."""


@dataclass(frozen=True)
class Ensemble:
    """The ensemble after the measurements."""

    allocation: Allocation
    basis: Basis
    theta: Array
    """(draws, P)"""
    noise: float
    """Relative standard deviation of a run about its law."""

    def log_losses(self, at: RunPoints) -> Array:
        """Log losses of n runs (draws, n)."""
        return log_losses(self.basis, self.theta, at)

    def with_tuned(self, at: RunPoints) -> tuple[Array, Array]:
        """Log losses of n runs, and those at each row's best rate (draws, n)."""
        logs = by_law(self.basis, self.theta, at)
        return capped(self.basis, at, at_rates(self.basis, self.theta, at, logs)), capped(self.basis, at, logs)

    def best_log_rate(self, at: RunPoints) -> Array:
        """Log of the best rate over the arm's default (draws, n)."""
        return best_log_rate(self.basis, self.theta, at)


def belief_of(allocation: Allocation, measured: Sequence[Measurement], prior: KnownLaws | None = None) -> Ensemble:
    """Update the prior by all measurements."""
    basis, start = arms_basis(allocation), prior_draws(allocation, prior or NOTHING)
    known = sorted(
        (one for one in measured if one.status == "diverged" or (one.status == "done" and one.loss is not None)),
        key=lambda one: (one.purchase.setting.model_dump_json(), one.purchase.train_flops, one.loss or 0.0),
    )
    if len(known) > MANY:
        start = np.concatenate([start[: FEW // 2], start[len(start) // 2 :][: FEW // 2]])
    if not known:
        return Ensemble(allocation, basis, start, NOISE)
    seen = _Seen.of(allocation, known)
    each = np.full(seen.losses, NOISE)
    theta = seen.match(basis, start, start, each, FIRST, allocation.seed)
    noise = NOISE
    if seen.losses:
        noise, each = seen.noise(basis, theta)
        theta = seen.match(basis, start, theta, each, SECOND, allocation.seed)
        noise, each = seen.noise(basis, theta)
    return Ensemble(allocation, basis, theta[seen.fitting(basis, theta, each)], noise)


@lru_cache(maxsize=4)
def prior_draws(allocation: Allocation, prior: KnownLaws) -> Array:
    """The ensemble before any measurement: what laws look like, moved to the draws of laws that are known."""
    basis = arms_basis(allocation)
    theta = normal_draws(basis.width, allocation.seed)
    told = told_by(prior, allocation, len(theta))
    if told is None:
        return theta
    n, m = len(told.at.arm), told.losses
    nothing = np.zeros(n, dtype=bool)
    seen = _Seen(told.at, told.values, nothing, np.ones(m), m, np.arange(m), np.zeros(m), told.rate_errors)
    return seen.match(basis, theta, theta, np.full(m, LAW_SD), FIRST, allocation.seed)


@dataclass(frozen=True)
class _Seen:
    """Measurements as numbers."""

    at: RunPoints
    values: Array
    """Log losses, then what diverged runs say of the best rates."""
    bounds: Array
    """Whether the law's loss is only known to be no less, since the run was no better than its start."""
    stretch: Array
    """By what a log loss without the cap of the start varies, times that with it; of the log losses alone."""
    losses: int
    """How many are log losses."""
    trunk: Array
    """Equal for runs of one trunk."""
    evaluation: Array
    """Variance of each log loss by the held-out pairs."""
    rate_errors: Array
    """Standard deviation of each log rate."""

    @classmethod
    def of(cls, allocation: Allocation, known: Sequence[Measurement]) -> "_Seen":
        done = [one for one in known if one.status == "done"]
        ordered = [*done, *(one for one in known if one.status == "diverged")]
        at = points_of(allocation, [(one.purchase.setting, one.purchase.train_flops) for one in ordered])
        logs = np.log([one.loss or 1.0 for one in done])
        base = base_logs(arms_basis(allocation), at)[: len(done)]
        learned = -np.expm1(SHARPNESS * np.minimum(logs - base, 0.0))
        bounds = np.concatenate([learned < LEAST_LEARNED, np.zeros(len(ordered) - len(done), dtype=bool)])
        learned = np.maximum(learned, LEAST_LEARNED)
        values = np.concatenate([logs - np.log(learned) / SHARPNESS, at.log_rate[len(done) :] + DIVERGED[0]])
        settings: dict[Setting, int] = {}
        trunk = np.array([settings.setdefault(one.purchase.setting, len(settings)) for one in done], dtype=int)
        evaluation = np.array([(one.error / (one.loss or 1.0)) ** 2 for one in done])
        rate_errors = np.full(len(ordered) - len(done), DIVERGED[1])
        return cls(at, values, bounds, 1 / learned, len(done), trunk, evaluation, rate_errors)

    def match(self, basis: Basis, start: Array, theta: Array, each: Array, steps: Sequence[float], seed: int) -> Array:
        """Move each row of ``theta`` on, from its row of the prior ``start``, by so many steps."""
        errors = self._errors(each)
        rng = np.random.default_rng([seed, 22])
        half = rng.standard_normal((len(start) // 2, len(self.at.arm)))
        drawn = np.concatenate([half, -half]) @ np.linalg.cholesky(errors).T
        columns = self._columns(basis)
        for inflated in steps:
            logs, slopes = self._linear(basis, theta, columns)
            off = self.values + drawn - logs
            idle = self.bounds & (off < 0)
            off[idle] = 0.0
            slopes[idle] = 0.0
            moved = theta[:, columns] - start[:, columns]
            off += (slopes @ moved[:, :, None])[:, :, 0]
            gram = slopes @ slopes.transpose(0, 2, 1) + (inflated * errors).astype(np.float32)
            pull = np.linalg.solve(gram, off.astype(np.float32)[:, :, None])
            theta = theta.copy()
            found = start[:, columns] + (slopes.transpose(0, 2, 1) @ pull)[:, :, 0]
            theta[:, columns] = np.clip(found, -WIDEST, WIDEST)
        return theta

    def _errors(self, each: Array) -> Array:
        n, m = len(self.at.arm), self.losses
        errors = np.zeros((n, n))
        scaled, same = each * self.stretch, self.trunk[:, None] == self.trunk[None, :]
        errors[:m, :m] = np.outer(scaled, scaled) * np.where(same, SHARED, 0.0)
        errors[range(m), range(m)] = scaled**2 + self.evaluation / 4  # most of it is common to all runs
        errors[range(m), range(m)] += np.where(self.bounds[:m], BASE_SD**2, 0.0)
        errors[range(m, n), range(m, n)] = self.rate_errors**2
        return errors

    def _columns(self, basis: Basis) -> Array:
        """The numbers of a row that any measurement depends on."""
        used = np.zeros(basis.width, dtype=bool)
        for name, rows in basis.rows.items():
            used[np.array(rows, dtype=int)[(basis.weights[name][:, self.at.arm] != 0).any(axis=1)]] = True
        return np.flatnonzero(used)

    def _linear(self, basis: Basis, theta: Array, columns: Array) -> tuple[Array, Array]:
        """What each row predicts (draws, n), and its derivatives by the numbers ``columns`` (draws, n, columns)."""
        by: dict[str, Array] = {}
        logs = at_rates(basis, theta, self.at, by_law(basis, theta, self.at, by), by)
        m = self.losses
        if m < len(self.at.arm):
            logs[:, m:] = best_log_rate(basis, theta, self.at)[:, m:]
            for name in ("rate", "rate_slope"):
                by.setdefault(name, np.zeros_like(logs))
            for values in by.values():
                values[:, m:] = 0.0
            by["rate"][:, m:] = 1.0
            by["rate_slope"][:, m:] = np.maximum(self.at.log_d[m:], -12.0)
        place = np.full(basis.width, -1)
        place[columns] = np.arange(len(columns))
        weights = np.zeros((len(self.at.arm), len(by), len(columns)), dtype=np.float32)
        for row, name in enumerate(by):
            rows = place[basis.rows[name]]
            weights[:, row, rows[rows >= 0]] = basis.weights[name][rows >= 0][:, self.at.arm].T
        each = np.array(list(by.values()), dtype=np.float32).transpose(2, 1, 0)  # (n, draws, quantities)
        slopes = np.ascontiguousarray((each @ weights).transpose(1, 0, 2))
        return logs, slopes

    def _left(self, basis: Basis, theta: Array) -> Array:
        """What each row leaves unexplained of the log losses (draws, losses)."""
        logs = at_rates(basis, theta, self.at, by_law(basis, theta, self.at))[:, : self.losses]
        left = (self.values[: self.losses] - logs) / self.stretch
        return np.where(self.bounds[: self.losses], np.maximum(left, 0.0), left)

    def noise(self, basis: Basis, theta: Array) -> tuple[float, Array]:
        """The noise by what is left unexplained, and the error of each run."""
        every = self._left(basis, theta)
        left, spread = np.median(every, axis=0), every.var(axis=0)
        told = ~self.bounds[: self.losses]
        most = np.minimum(np.abs(left), 2 * np.median(np.abs(left[told])) + NOISE if told.any() else NOISE) * told
        free = float(told.sum() - np.minimum(spread / NOISE**2, 1.0)[told].sum())
        noise = float(np.sqrt((NOISE_RUNS * NOISE**2 + (most**2).sum()) / (NOISE_RUNS + max(free, 0.0))))
        noise = min(noise, MOST_NOISE)
        return noise, noise * np.maximum(1.0, np.abs(left) / (FAR * noise))

    def fitting(self, basis: Basis, theta: Array, each: Array) -> Array:
        """The rows that explain the measurements: those that ended in a worse minimum are left out."""
        if not self.losses:
            return np.arange(len(theta))
        misfit = ((self._left(basis, theta) / each) ** 2).sum(axis=1)
        most = np.median(misfit) + 3 * np.sqrt(2 * self.losses) + 3
        kept: Array = np.flatnonzero(misfit <= most)
        return kept
