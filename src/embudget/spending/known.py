"""What do laws that were fitted before say of an allocation's arms? Their draws, at some sizes and budgets.

Each row of the ensemble is moved to one draw of the laws, so that what they leave open stays open, and what they say of
a method goes over to those that they do not know by what methods have in common. Losses may differ in level, as on
other pairs (`KnownLaws.level_sd`). Best rates are those of the laws' law of the rate, with its error.
"""

from math import log
from typing import NamedTuple

import numpy as np

from embudget.laws import Laws
from embudget.spending.allocation import Allocation
from embudget.spending.law import RunPoints, points_at
from embudget.spending.prior import Array, KnownLaws

SIZES = (0.0, 0.5, 1.0)
"""Which of the arms of a method are looked up, as shares of the way from the smallest to the largest."""
RATE_SD = 0.1
"""What a best rate scatters by besides the error of its law: assumption."""


class LawDraws(NamedTuple):
    """What laws say, row by row of the ensemble."""

    at: RunPoints
    values: Array
    """Log losses, then logs of the best rates over the arms' defaults (draws, n)."""
    losses: int
    """How many are log losses."""
    rate_errors: Array
    """Standard deviations of the log rates."""


def told_by(prior: KnownLaws, allocation: Allocation, draws: int) -> LawDraws | None:
    """What the laws of a prior say of the arms; None where they know none of their lineages and methods."""
    rng = np.random.default_rng([allocation.seed, 23])
    losses: list[tuple[int, float, Array]] = []
    rates: list[tuple[int, float, float, float]] = []
    for one in (part for laws in prior.laws for part in laws.every):
        level = prior.level_sd * rng.standard_normal(draws)
        for method in one.methods:
            for place in _places(allocation, one, method):
                arm = allocation.arms[place]
                for budget in dict.fromkeys(one.domain[method].budgets):
                    tokens = budget / arm.flops_per_token
                    logs = one.surface.log_draws([method], np.array([arm.model_params]), np.array([tokens]))[:, 0]
                    losses.append((place, budget, logs[np.arange(draws) % len(logs)] + level))
                    law = one.rate_law
                    if law is not None and method in law.methods:
                        rate = log(law.predict(method, arm.model_params, tokens) / arm.default_rate)
                        error = float(law.error(method, arm.model_params, tokens))
                        rates.append((place, budget, rate, float(np.hypot(error, RATE_SD))))
    if not losses:
        return None
    places = np.array([row[0] for row in (*losses, *rates)])
    flops, n = np.array([row[1] for row in (*losses, *rates)]), len(losses)
    batch, none = np.full(len(places), min(allocation.batch_sizes)), np.zeros(len(places))
    fresh = allocation.model_copy(update={"training_pairs": None})
    at = points_at(fresh, places, flops, none * np.nan, batch, none)
    values = [row[2] for row in losses] + [np.full(draws, row[2]) for row in rates]
    return LawDraws(at, np.array(values).T, n, np.array([row[3] for row in rates]))


def _places(allocation: Allocation, laws: Laws, method: str) -> list[int]:
    """A few arms of a method whose lineage the laws are of, small and large."""
    found = [
        place
        for place, arm in enumerate(allocation.arms)
        if arm.method == method and laws.lineage in (None, arm.lineage)
    ]
    found.sort(key=lambda place: allocation.arms[place].model_params)
    return list(dict.fromkeys(found[round(share * (len(found) - 1))] for share in SIZES)) if found else []
