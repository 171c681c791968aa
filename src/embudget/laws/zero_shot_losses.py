"""What is the loss of a lineage's member before any training? Measured for some sizes, guessed for those between.

A law that begins at each member's zero-shot loss L0 (`embudget.laws.zero_shot`) needs it for members that were not
measured, too, as for a depth between two measured ones. There log L0 is interpolated in log N, with the standard
deviation

    between two measured sizes      |log L0' - log L0| sqrt(w (1 - w)),     w the share of the way in log N
    beyond the last one             slope x distance in log N

that of a value which lies at either of the two, with probability 1 - w and w. The slope is the root mean square of
those between measured sizes, at least LEAST_SLOPE; with one size ONE_SLOPE. Assumption: retrievers that are cut lose by
jumps (all-MiniLM-L6-v2 3.07, 5.14 and 5.83 nats with 6, 4 and 2 blocks), so that little more can be said of a depth
between. Scoring the member once, which takes seconds, says all.
"""

from typing import Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator
from scipy.stats import norm

from embudget.frozen import Frozen
from embudget.laws.form import Array

LEAST_SLOPE, ONE_SLOPE = 0.05, 0.25
"""By how much log L0 may change as N changes by a factor e, beyond the measured sizes: assumptions."""
_SAME = 1e-6  # log N within which two sizes are one


class ZeroShotLosses(Frozen):
    """The zero-shot losses of a lineage's measured members by their size."""

    model_params: tuple[PositiveFloat, ...] = Field(min_length=1, description="N, rising")
    losses: tuple[PositiveFloat, ...] = Field(description="before any training, nats")

    @model_validator(mode="after")
    def _by_size(self) -> Self:
        if len(self.losses) != len(self.model_params):
            raise ValueError(f"losses must be one for each of {len(self.model_params)} sizes, got {len(self.losses)}")
        if any(one >= other for one, other in zip(self.model_params, self.model_params[1:], strict=False)):
            raise ValueError("model_params must rise")
        return self

    @classmethod
    def of(cls, log_n: Array, log_base: Array) -> Self:
        """The zero-shot losses of cells (n,); members of one size have their geometric mean."""
        sizes = np.unique(log_n)
        logs = [log_base[log_n == size].mean() for size in sizes]
        params, losses = ([float(f"{np.exp(log):.12g}") for log in one] for one in (sizes, logs))
        return cls(model_params=tuple(params), losses=tuple(losses))

    def at(self, log_n: Array) -> tuple[Array, Array]:
        """Log zero-shot loss at m sizes (m,), and its standard deviation (m,), which is 0 at measured ones."""
        sizes, logs = np.log(self.model_params), np.log(self.losses)
        mean = np.interp(log_n, sizes, logs)
        outside = np.maximum(0.0, np.maximum(log_n - sizes[-1], sizes[0] - log_n))
        if len(sizes) == 1:
            return mean, ONE_SLOPE * np.where(outside > _SAME, outside, 0.0)
        gaps, spans = np.diff(logs), np.diff(sizes)
        place = np.clip(np.searchsorted(sizes, log_n) - 1, 0, len(gaps) - 1)
        share = np.clip((log_n - sizes[place]) / spans[place], 0.0, 1.0)
        between = np.abs(gaps[place]) * np.sqrt(share * (1 - share))
        slope = max(float(np.sqrt(np.mean((gaps / spans) ** 2))), LEAST_SLOPE)
        near = np.abs(log_n[:, None] - sizes).min(axis=1) < _SAME
        return mean, np.where(near, 0.0, between + slope * outside)

    def drawn(self, log_n: Array, draws: int) -> Array:
        """Log zero-shot losses at m sizes: the mean first, then ``draws`` of it (1 + draws, m).

        Unmeasured sizes move together, each by its own standard deviation; so do all calls.
        """
        mean, sd = self.at(log_n)
        return mean + np.concatenate([[0.0], self.steps(draws)])[:, None] * sd

    def steps(self, draws: int) -> Array:
        """How many standard deviations from the mean each draw has unmeasured sizes (draws,)."""
        quantiles = norm.ppf((np.arange(draws) + 0.5) / draws) if draws else np.zeros(0)
        shuffled: Array = quantiles[np.random.default_rng(int(self.model_params[0])).permutation(draws)]
        return shuffled
