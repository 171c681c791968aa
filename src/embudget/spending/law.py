"""What does a row of the ensemble say of a run? Its log loss, and how that moves with the numbers of the row.

The law is that of `embudget.spending.prior`. A short run is no worse than its start: L = (law^-s + base^-s)^(-1/s).
That of a retriever begins at its loss before training (`embudget.laws.zero_shot`), and may be worse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from embudget.runs.lineages import is_of_retrievers
from embudget.spending.allocation import Allocation, Arm, Setting
from embudget.spending.prior import Array, Basis, arms_basis

SHARPNESS = 12.0
"""s of the cap: how abruptly a run leaves the loss of its start (assumption)."""
STEEPEST = 2.5
"""e-folds of the rate beyond which the loss rises in a line, no longer in a parabola."""


@dataclass(frozen=True)
class RunPoints:
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

    def where(self, rows: Array) -> "RunPoints":
        """Some of them."""
        return RunPoints(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def points_of(allocation: Allocation, runs: Sequence[tuple[Setting, float]]) -> RunPoints:
    """Runs by setting and budget in FLOP."""
    arms, index = allocation.arms, index_of(allocation)
    arm = np.array([index[setting.model, setting.method] for setting, _ in runs], dtype=int)
    return points_at(
        allocation, arm, np.array([flops for _, flops in runs]),
        np.log([one.learning_rate for one, _ in runs]) - np.log([arms[place].default_rate for place in arm]),
        np.array([setting.batch_size for setting, _ in runs]), np.array([setting.negatives for setting, _ in runs]),
    )  # fmt: skip


def points_at(
    allocation: Allocation, arm: Array, flops: Array, log_rate: Array, batch: Array, negatives: Array
) -> RunPoints:
    """Runs by arm (n,), FLOP, log rate over the default, batch and negatives."""
    tokens = flops / np.array([one.flops_per_token for one in allocation.arms])[arm]
    pairs = tokens / (allocation.tokens_per_pair * (1 + negatives / 2))  # assumption: a negative is as long as a text
    return RunPoints(
        arm=arm,
        log_d=np.log(tokens) - log(arms_basis(allocation).tokens),
        log_rate=log_rate,
        steps=np.maximum(pairs / batch, 1.0),
        passes=pairs / allocation.training_pairs if allocation.training_pairs else np.zeros(len(arm)),
        log_batch=np.log(batch / min(allocation.batch_sizes)),
        log_negatives=np.log1p(negatives),
    )


def index_of(allocation: Allocation) -> dict[tuple[str, str], int]:
    """The row of each arm by model and method."""
    return {(arm.model, arm.method): place for place, arm in enumerate(allocation.arms)}


def log_losses(basis: Basis, theta: Array, at: RunPoints) -> Array:
    """Log losses of n runs in each row (draws, n); at the best rate where a run's is NaN."""
    return capped(basis, at, at_rates(basis, theta, at, by_law(basis, theta, at)))


def by_law(basis: Basis, theta: Array, at: RunPoints, slopes: dict[str, Array] | None = None) -> Array:
    """Log losses of n runs at their best rates, as if no start were good before training (draws, n).

    Their derivatives by the quantities are put into ``slopes``, if it is given.
    """
    of = _quantities(basis, theta, at)
    log_n = (np.log([arm.model_params for arm in basis.arms])[at.arm] - log(basis.params)).astype(np.float32)
    log_d = (at.log_d - np.log(np.maximum(at.passes, 1.0))).astype(np.float32)
    more = np.zeros_like(log_d)
    if (at.passes > 1).any():
        reuse, again = np.exp(of("reuse")), np.maximum(at.passes - 1, 0.0).astype(np.float32)
        worth = 1 - reuse * np.expm1(-again / reuse)
        log_d = log_d + np.log(worth)
        more = reuse * (1 - np.exp(-again / reuse) * (1 + again / reuse)) / worth
    lag = np.exp(of("lag")) / at.steps.astype(np.float32)
    derived = slopes is not None
    logs, by = _from_guessing(of, log_n, log_d, derived)
    begun = _begins(basis, at)
    if not np.isnan(begun).all():
        from_start, by_start = _from_start(of, log_n, log_d, begun, basis.known[at.arm], derived)
        logs = np.where(np.isnan(begun), logs, from_start)
        names = dict.fromkeys([*by, *by_start])
        by = {name: np.where(np.isnan(begun), by.get(name, 0.0), by_start.get(name, 0.0)) for name in names}
    if slopes is not None:
        slopes |= by | {
            "reuse": by["log_d"] * more, "lag": lag / (1 + lag), "own": np.ones_like(logs),
            "batch": np.zeros_like(logs) + at.log_batch, "negatives": np.zeros_like(logs) + at.log_negatives,
        }  # fmt: skip
        del slopes["log_d"]
    logs += of("own") + np.log1p(lag)
    if at.log_batch.any():
        logs += of("batch") * at.log_batch.astype(np.float32)
    if at.log_negatives.any():
        logs += of("negatives") * at.log_negatives.astype(np.float32)
    found: Array = logs
    return found


def _from_guessing(
    of: Callable[[str], Array], log_n: Array, log_d: Array, derived: bool
) -> tuple[Array, dict[str, Array]]:
    """Log losses by the family of all forms (draws, n); if ``derived``, their slopes by its quantities and log D."""
    a, b, k, start = np.exp(of("size_exponent")), np.exp(of("data_exponent")), np.exp(of("order")), of("start")
    size, known = of("size") - a * log_n, _share(b * (start - log_d))
    data = of("data") - np.logaddexp(b * start, b * log_d)
    reducible = (np.logaddexp(k * size, k * data) - np.float32(log(2))) / k
    logs = np.logaddexp(of("asymptote"), reducible)
    if not derived:
        return logs, {}
    above = _share(reducible - of("asymptote"))
    of_size = above * _share(k * (size - data))
    of_data = above - of_size
    return logs, {
        "asymptote": 1 - above, "size": of_size, "data": of_data, "size_exponent": -of_size * a * log_n,
        "data_exponent": -of_data * b * (known * start + (1 - known) * log_d), "start": -of_data * known * b,
        "order": of_size * size + of_data * data - above * reducible, "log_d": -of_data * (1 - known) * b,
    }  # fmt: skip


def _from_start(
    of: Callable[[str], Array], log_n: Array, log_d: Array, base: Array, known: Array, derived: bool
) -> tuple[Array, dict[str, Array]]:
    """The same by L = F + (L0 - F) / (1 + (D / D0)^b), which begins at the log loss ``base`` (n,).

    The floor of an intact retriever, one of ``known`` (n,), is so much below its own start: log F = log L0 - gain. One
    that was cut has lost what it knew, and has the floor of its size, F = E + P. A row in which that lies above L0
    says that training makes the start worse.
    """
    a, b = np.exp(of("size_exponent")), np.exp(of("data_exponent"))
    start = of("start") + np.where(known, 0, of("data"))  # a method that needs less data is sooner on its way
    way, gain = _share(b * (log_d - start)), np.exp(of("gain"))
    asymptote, size = np.exp(of("asymptote")) * ~known, np.exp(of("size") - a * log_n) / 2 * ~known
    begin = np.exp(np.nan_to_num(base))
    floor = np.where(known, begin * np.exp(-gain), asymptote + size)
    loss = floor * way + begin * (1 - way)
    if not derived:
        return np.log(loss), {}
    steep = (begin - floor) * (1 - way) * way / loss
    return np.log(loss), {
        "asymptote": asymptote * way / loss, "size": size * way / loss, "size_exponent": -size * way / loss * a * log_n,
        "data_exponent": -steep * b * (log_d - start), "start": steep * b, "data": steep * b * ~known,
        "gain": -gain * floor * known * way / loss, "log_d": -steep * b,
    }  # fmt: skip


def _begins(basis: Basis, at: RunPoints) -> Array:
    """Log losses of retrievers before training, NaN for runs of other starts (n,)."""
    found: Array = np.log([_begin(arm) or np.nan for arm in basis.arms]).astype(np.float32)[at.arm]
    return found


def _begin(arm: Arm) -> float | None:
    """The loss that an arm's law begins at; None where it begins at guessing, whatever it was before training."""
    return arm.base_loss if is_of_retrievers(arm.lineage) else None


def at_rates(basis: Basis, theta: Array, at: RunPoints, logs: Array, slopes: dict[str, Array] | None = None) -> Array:
    """What the rates of n runs make of their log losses at the best rates (draws, n)."""
    if np.isnan(at.log_rate).all():
        return logs
    off = at.log_rate.astype(np.float32) - best_log_rate(basis, theta, at)
    curved = np.exp(basis.of("curvature", theta, at.arm))
    far = np.abs(off)
    excess = np.where(np.isnan(off), 0.0, curved * np.where(far < STEEPEST, far**2, STEEPEST * (2 * far - STEEPEST)))
    if slopes is not None:
        by_rate = np.where(np.isnan(off), 0.0, -2 * curved * np.clip(off, -STEEPEST, STEEPEST))
        slopes |= {"curvature": excess, "rate": by_rate, "rate_slope": by_rate * _log_d(at)}
    found: Array = logs + excess
    return found


def best_log_rate(basis: Basis, theta: Array, at: RunPoints) -> Array:
    """Log of the best rate over the arm's default, of n runs in each row (draws, n)."""
    of = _quantities(basis, theta, at)
    found: Array = of("rate") + of("rate_slope") * _log_d(at) + (0.5 * at.log_batch).astype(np.float32)
    return found


def base_logs(basis: Basis, at: RunPoints) -> Array:
    """Log losses of the starts of n runs before training, infinite where these are unknown or part of the law (n,)."""
    found: Array = np.log([(not _begin(arm) and arm.base_loss) or np.inf for arm in basis.arms]).astype(np.float32)[
        at.arm
    ]
    return found


def capped(basis: Basis, at: RunPoints, logs: Array) -> Array:
    """Log losses of runs of which none is worse than its start."""
    base = base_logs(basis, at)
    found: Array = np.minimum(logs, base) - np.log1p(np.exp(-SHARPNESS * np.abs(base - logs))) / SHARPNESS
    return found


def _log_d(at: RunPoints) -> Array:
    return np.maximum(at.log_d, -12.0).astype(np.float32)  # no rate is of no tokens


def _share(x: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return found


def _quantities(basis: Basis, theta: Array, at: RunPoints) -> Callable[[str], Array]:
    return lambda name: basis.of(name, theta, at.arm)
