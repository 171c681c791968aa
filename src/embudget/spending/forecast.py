"""What loss would a run have, by what the search has taught? For the ledger's rules of thumb, and for plans."""

from collections.abc import Sequence

import numpy as np

from embudget.spending.allocation import Allocation, Measurement, Setting
from embudget.spending.belief import belief_of
from embudget.spending.law import points_of
from embudget.spending.ledger import ExpectedLoss, Forecast
from embudget.spending.prior import KnownLaws

INTERVAL = (0.05, 0.95)


def forecaster(allocation: Allocation, measured: Sequence[Measurement], prior: KnownLaws | None = None) -> Forecast:
    """Predict losses by the belief after some measurements, a run's noise included.

    Example:
        >>> forecaster(allocation, ())(setting, 2e13).loss
    """
    belief = belief_of(allocation, measured, prior)

    def forecast(setting: Setting, train_flops: float) -> ExpectedLoss:
        logs = belief.log_losses(points_of(allocation, [(setting, train_flops)]))[:, 0]
        noise = np.random.default_rng([allocation.seed, 31]).standard_normal(len(logs)) * belief.noise
        low, middle, high = np.exp(np.quantile(logs + noise, (INTERVAL[0], 0.5, INTERVAL[1]))).tolist()
        return ExpectedLoss(middle, low, high)

    return forecast
