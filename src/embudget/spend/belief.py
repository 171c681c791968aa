"""What is believed after some measurements? Every row of the prior's ensemble, moved to what was measured.

The update is an ensemble smoother with multiple data assimilation (Emerick and Reynolds 2013): a Kalman update by all
measurements at once, repeated with errors that are inflated by alpha_i, sum 1 / alpha_i = 1, so that each step is small
enough for the laws to be almost linear in it. All measurements count alike in whatever order they came.

The noise of a run is assumed at first (`NOISE`) and then learned from what the rows leave unexplained. A run that lies
far from all rows, as one that nearly diverged, is given an error of its own size, so that it moves them little.

A run that diverged says that its rate is too high, by about e^2, give or take; one that failed says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np

from embudget.laws.forms import Array
from embudget.spend.allocation import Allocation, Arm, Measurement, Setting
from embudget.spend.prior import NOTHING, Basis, Prior, basis_of, draw

NOISE, NOISE_RUNS = 0.012, 6.0
"""Assumption: relative standard deviation of a run about its law before any is measured, and the runs that this guess
counts as."""
SHARED = 0.5
"""Share of the noise's variance that runs of one trunk have in common (`results/smollm2`)."""
BASE_SD = 0.08
"""How well the law at D = 0 is the loss before training, relative: assumption."""
DIVERGED = (-2.0, 0.7)
"""Log of the best rate over one that diverged: mean and standard deviation, assumption."""
STEPS = (12.0, 6.0, 4.0, 2.0)
"""alpha of each update."""
ROUGH = (4.0, 2.0, 4.0)
"""The same where only the noise is to be learned."""
FAR = 2.5
"""Noise levels beyond which a measurement's pull no longer grows."""
NO_TOKENS = -40.0
SHARPNESS = 8.0
"""A run of few tokens is about as good as no training: L = (law^-s + base^-s)^(-1/s)."""
STEEPEST = 2.5
"""e-folds of the rate beyond which the loss rises in a line, no longer in a parabola."""


@dataclass(frozen=True)
class Points:
    """Runs, measured or thought of."""

    arm: Array
    """Rows of the arms (n,)."""
    log_d: Array
    """Log of the tokens over the reference's."""
    log_rate: Array
    """Log of the rate over the arm's default; NaN for the best one."""
    steps: Array
    passes: Array
    """Passes over the training pairs, 0 where there are as many as wanted."""
    log_batch: Array
    """Log of the batch over the smallest."""
    log_negatives: Array
    """Log of 1 + negatives."""

    def where(self, rows: Array) -> "Points":
        """Some of them."""
        return Points(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def points_of(allocation: Allocation, runs: Sequence[tuple[Setting, float]]) -> Points:
    """Runs by setting and budget in FLOP."""
    basis = basis_of(allocation)
    index = index_of(allocation)
    arm = np.array([index[setting.model, setting.method] for setting, _ in runs], dtype=int)
    rates = [setting.learning_rate for setting, _ in runs]
    return points_at(
        allocation, arm, np.array([flops for _, flops in runs]),
        np.log(rates) - np.log([basis.arms[place].default_rate for place in arm]),
        np.array([setting.batch_size for setting, _ in runs]), np.array([setting.negatives for setting, _ in runs]),
    )  # fmt: skip


def points_at(
    allocation: Allocation, arm: Array, flops: Array, log_rate: Array, batch: Array, negatives: Array
) -> Points:
    """Runs by arm (n,), FLOP, log rate over the default, batch and negatives."""
    basis = basis_of(allocation)
    tokens = flops / np.array([one.flops_per_token for one in basis.arms])[arm]
    per_pair = allocation.tokens_per_pair * (1 + negatives / 2)  # a negative is as long as a positive
    pairs = tokens / per_pair
    return Points(
        arm=arm,
        log_d=np.log(np.maximum(tokens, 1e-300)) - log(basis.tokens),
        log_rate=log_rate,
        steps=pairs / batch,
        passes=pairs / allocation.training_pairs if allocation.training_pairs else np.zeros(len(arm)),
        log_batch=np.log(batch / min(allocation.batch_sizes)),
        log_negatives=np.log1p(negatives),
    )


def index_of(allocation: Allocation) -> dict[tuple[str, str], int]:
    """The row of each arm by model and method."""
    return {(arm.model, arm.method): place for place, arm in enumerate(allocation.arms)}


def log_losses(basis: Basis, theta: Array, at: Points) -> Array:
    """Log losses of n runs in each row (draws, n); at the best rate where a run's is NaN."""

    def of(quantity: str) -> Array:
        return basis.of(quantity, theta, at.arm)

    log_n = (np.log([arm.model_params for arm in basis.arms])[at.arm] - log(basis.params)).astype(np.float32)
    log_d = (at.log_d - np.log(np.maximum(at.passes, 1.0))).astype(np.float32)
    if (at.passes > 1).any():
        reuse = np.exp(of("reuse"))
        log_d = log_d + np.log1p(-reuse * np.expm1(-np.maximum(at.passes - 1, 0.0) / reuse))
    b, k = np.exp(of("data_exponent")), np.exp(of("order"))
    size = of("size") - np.exp(of("size_exponent")) * log_n
    data = of("data") - np.logaddexp(b * of("start"), b * log_d)
    reducible = (np.logaddexp(k * size, k * data) - log(2)) / k
    logs = np.logaddexp(of("asymptote"), reducible) + of("own")
    logs += np.log1p(np.exp(of("lag")) / np.maximum(at.steps, 1.0).astype(np.float32))
    if at.log_batch.any():
        logs += of("batch") * at.log_batch.astype(np.float32)
    if at.log_negatives.any():
        logs += of("negatives") * at.log_negatives.astype(np.float32)
    if not np.isnan(at.log_rate).all():
        off = np.abs(at.log_rate.astype(np.float32) - best_log_rate(basis, theta, at))
        bent = np.where(off < STEEPEST, off**2, STEEPEST * (2 * off - STEEPEST))
        logs += np.where(np.isnan(at.log_rate), 0.0, np.exp(of("curvature")) * bent)
    base = np.log([arm.base_loss or np.inf for arm in basis.arms]).astype(np.float32)[at.arm]
    return np.minimum(logs, base) - np.log1p(np.exp(-SHARPNESS * np.abs(base - logs))) / SHARPNESS


def best_log_rate(basis: Basis, theta: Array, at: Points) -> Array:
    """Log of the best rate over the arm's default, of n runs in each row (draws, n)."""
    log_d = np.maximum(at.log_d, -12.0).astype(np.float32)  # no rate is of no tokens
    grown = (0.5 * at.log_batch).astype(np.float32)
    return basis.of("rate", theta, at.arm) + basis.of("rate_slope", theta, at.arm) * log_d + grown


@dataclass(frozen=True)
class Belief:
    """The ensemble after the measurements."""

    allocation: Allocation
    basis: Basis
    theta: Array
    """(draws, P)"""
    noise: float
    """Relative standard deviation of a run about its law."""

    def log_losses(self, at: Points, rows: slice = slice(None)) -> Array:
        """Log losses of n runs (draws, n)."""
        return log_losses(self.basis, self.theta[rows], at)

    def best_log_rate(self, at: Points, rows: slice = slice(None)) -> Array:
        """Log of the best rate over the arm's default (draws, n)."""
        return best_log_rate(self.basis, self.theta[rows], at)


def belief_of(allocation: Allocation, measured: Sequence[Measurement], prior: Prior | None = None) -> Belief:
    """Update the prior by all measurements."""
    basis, theta = basis_of(allocation), prior_draws(allocation, prior or NOTHING)
    known = sorted(
        (one for one in measured if one.status == "diverged" or (one.status == "done" and one.loss is not None)),
        key=lambda one: (one.purchase.setting.model_dump_json(), one.purchase.train_flops, one.loss or 0.0),
    )
    if not known:
        return Belief(allocation, basis, theta, NOISE)
    seen = _Seen.of(allocation, known)
    found = seen.update(basis, theta, np.full(seen.losses, NOISE), allocation.seed, ROUGH)
    if not seen.losses:
        return Belief(allocation, basis, found, NOISE)
    noise, each = seen.noise(basis, found)
    found = seen.update(basis, theta, each, allocation.seed, STEPS)
    return Belief(allocation, basis, found, noise)


@lru_cache(maxsize=4)
def prior_draws(allocation: Allocation, prior: Prior) -> Array:
    """The ensemble before any measurement: the forms' prior, with the losses before training where these are known."""
    basis = basis_of(allocation)
    theta = draw(basis.width, allocation.seed)
    begins = _begins(allocation.arms)
    if begins:
        arm = np.array(begins)
        none = np.zeros(len(arm))
        at = Points(arm, none + NO_TOKENS, none + np.nan, none + 1e9, none, none, none)
        values = np.log([allocation.arms[place].base_loss or 1.0 for place in begins])
        theta = assimilated(
            theta, lambda rows: log_losses(basis, rows, at), values[None], np.eye(len(arm)) * BASE_SD**2, allocation.seed
        )
    return theta


def _begins(arms: Sequence[Arm]) -> list[int]:
    """One arm of each model and kind of method whose loss before training is known."""
    first: dict[str, int] = {}
    for place, arm in enumerate(arms):
        if arm.base_loss is not None:
            first.setdefault(f"{arm.lineage} {arm.model}", place)
    return list(first.values())


@dataclass(frozen=True)
class _Seen:
    """Measurements as numbers."""

    at: Points
    values: Array
    """Log losses, then what diverged runs say of the best rates."""
    losses: int
    """How many are log losses."""
    trunk: Array
    """Equal for runs of one trunk."""
    evaluation: Array
    """Variance of each log loss by the held-out pairs."""

    @classmethod
    def of(cls, allocation: Allocation, known: Sequence[Measurement]) -> "_Seen":
        done = [one for one in known if one.status == "done"]
        ordered = [*done, *(one for one in known if one.status == "diverged")]
        at = points_of(allocation, [(one.purchase.setting, one.purchase.train_flops) for one in ordered])
        logs = np.log([one.loss or 1.0 for one in done])
        settings: dict[Setting, int] = {}
        trunk = np.array([settings.setdefault(one.purchase.setting, len(settings)) for one in done], dtype=int)
        evaluation = np.array([(one.error / (one.loss or 1.0)) ** 2 for one in done])
        return cls(at, np.concatenate([logs, at.log_rate[len(done) :] + DIVERGED[0]]), len(done), trunk, evaluation)

    def predicted(self, basis: Basis, theta: Array) -> Array:
        rows = np.arange(len(self.values))
        losses = log_losses(basis, theta, self.at.where(rows[: self.losses]))
        if self.losses == len(rows):
            return losses
        return np.concatenate([losses, best_log_rate(basis, theta, self.at.where(rows[self.losses :]))], axis=1)

    def update(self, basis: Basis, theta: Array, each: Array, seed: int, steps: Sequence[float]) -> Array:
        n, m = len(self.values), self.losses
        errors = np.zeros((n, n))
        same = self.trunk[:, None] == self.trunk[None, :]
        errors[:m, :m] = np.outer(each, each) * np.where(same, SHARED, 0.0)
        errors[range(m), range(m)] = each**2 + self.evaluation / 4  # most of it is common to all runs
        errors[range(m, n), range(m, n)] = DIVERGED[1] ** 2
        return assimilated(theta, lambda rows: self.predicted(basis, rows), self.values[None], errors, seed, steps)

    def noise(self, basis: Basis, theta: Array) -> tuple[float, Array]:
        """The noise by what is left unexplained, and the error of each run."""
        logs = self.predicted(basis, theta)[:, : self.losses]
        left, spread = self.values[: self.losses] - logs.mean(axis=0), logs.var(axis=0)
        capped = np.minimum(np.abs(left), 5 * np.median(np.abs(left)) + NOISE)
        free = self.losses - float(np.minimum(spread / NOISE**2, 1.0).sum())
        noise = float(np.sqrt((NOISE_RUNS * NOISE**2 + (capped**2).sum()) / (NOISE_RUNS + max(free, 0.0))))
        return noise, noise * np.maximum(1.0, np.abs(left) / (FAR * noise))


def assimilated(theta, predict, targets: Array, errors: Array, seed: int, steps=STEPS) -> Array:  # type: ignore[no-untyped-def]
    """Move the rows (draws, P) towards ``targets`` (1 or draws, n), measured with a covariance ``errors`` (n, n)."""
    rng = np.random.default_rng([seed, 22])
    root = np.linalg.cholesky(errors)
    for alpha in steps:
        logs = predict(theta)
        half = rng.standard_normal((len(theta) // 2, targets.shape[1])) @ root.T
        noise = np.sqrt(alpha) * np.concatenate([half, -half])
        off_logs, off_theta = logs - logs.mean(axis=0), theta - theta.mean(axis=0)
        covariance = off_logs.T @ off_logs / (len(theta) - 1) + alpha * errors
        cross = off_logs.T @ off_theta / (len(theta) - 1)
        gain = np.linalg.solve(covariance, cross).astype(np.float32)
        theta = theta + (targets + noise - logs).astype(np.float32) @ gain
    return theta
