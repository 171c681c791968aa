"""How far does a choice lie outside what was measured? By its budget, and by its size and its data.

A law can be asked for more than it saw in two ways. The budget may be larger: then N D lies outside the measured ones,
by log(N D / largest N D). Or the budget may be as before, but the model larger than any that was trained, on fewer
tokens, or smaller on more: then N and D lie outside by themselves, by log(N / largest N) + log(D / largest D), each 0
inside. The distance is the larger of the two. Of the Gemstones' largest quarter of models 39 % of the checkpoints have
an N D that was measured with smaller models, and laws that are fitted to these promise 3.5 % too much. Below the
smallest it is counted in the same way.
"""

from typing import Self

import numpy as np
from pydantic import Field, PositiveFloat

from embudget.frozen import Frozen
from embudget.laws.forms import Array

Range = tuple[PositiveFloat, PositiveFloat]


class Reach(Frozen):
    """What was measured of one method, each as (smallest, largest)."""

    product: Range = Field(description="N D")
    model_params: Range = Field(description="N")
    tokens: Range = Field(description="effective D")

    @classmethod
    def of(cls, log_n: Array, log_d: Array) -> Self:
        """The reach of cells (n,)."""
        ranges = (tuple(np.exp([values.min(), values.max()]).tolist()) for values in (log_n + log_d, log_n, log_d))
        product, model_params, tokens = ranges
        return cls.model_validate({"product": product, "model_params": model_params, "tokens": tokens})

    def distance(self, log_n: Array, log_d: Array) -> Array:
        """How far m choices lie outside (m,), in natural logarithms; 0 inside."""
        apart = np.abs(_outside(log_n, self.model_params)) + np.abs(_outside(log_d, self.tokens))
        farther: Array = np.maximum(np.abs(_outside(log_n + log_d, self.product)), apart)
        return farther

    def distance_of_size(self, log_n: Array) -> Array:
        """How far their sizes lie outside by themselves (m,)."""
        return np.abs(_outside(log_n, self.model_params))

    def edge(self, log_n: Array, log_d: Array) -> tuple[Array, Array]:
        """Where m choices leave what was measured: log N (m,) and log D (m,), their own inside.

        N is drawn back to the nearest measured size, then D until it and the budget of that size were measured.
        """
        log_n, log_d = log_n - _outside(log_n, self.model_params), log_d - _outside(log_d, self.tokens)
        return log_n, log_d - _outside(log_n + log_d, self.product)


def _outside(logs: Array, span: Range) -> Array:
    """By how much the logarithms lie above (> 0) or below (< 0) a range (m,); 0 inside."""
    outside: Array = logs - np.clip(logs, *np.log(span))
    return outside
