"""How far does a choice lie outside what was measured? By its budget, and by its size and its data.

A law can be asked for more than it saw in two ways. The budget may be larger: then N D lies outside the measured ones,
by log(N D / largest N D). Or the budget may be as before, but the model larger than any that was trained, on fewer
tokens, or smaller on more: then N and D lie outside by themselves, by log(N / largest N) + log(D / largest D), each 0
inside. The distance is the larger of the two. Of the Gemstones' largest quarter of models 39 % of the checkpoints have
an N D that was measured with smaller models, and laws that are fitted to these promise 3.5 % too much.
"""

from typing import Any, Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from embudget.frozen import Frozen
from embudget.laws.forms import Array

Range = tuple[PositiveFloat, PositiveFloat]


class Reach(Frozen):
    """What was measured of one method, each as (smallest, largest)."""

    product: Range = Field(description="N D")
    model_params: Range | None = Field(default=None, description="N; None in older files")
    tokens: Range | None = Field(default=None, description="effective D; None in older files")

    @model_validator(mode="before")
    @classmethod
    def _product_alone(cls, data: Any) -> Any:  # noqa: ANN401 - whatever a file held
        return {"product": data} if isinstance(data, list | tuple) else data

    @classmethod
    def of(cls, log_n: Array, log_d: Array) -> Self:
        """The reach of cells (n,)."""
        ranges = (tuple(np.exp([values.min(), values.max()]).tolist()) for values in (log_n + log_d, log_n, log_d))
        product, model_params, tokens = ranges
        return cls.model_validate({"product": product, "model_params": model_params, "tokens": tokens})

    def distance(self, log_n: Array, log_d: Array) -> Array:
        """How far m choices lie outside (m,), in natural logarithms; 0 inside."""
        by_budget = _outside(log_n + log_d, self.product)
        apart = _outside(log_n, self.model_params) + _outside(log_d, self.tokens)
        farther: Array = np.maximum(by_budget, apart)
        return farther


def _outside(logs: Array, span: Range | None) -> Array:
    if span is None:
        return np.zeros(len(logs))
    low, high = np.log(span)
    outside: Array = np.maximum(0.0, np.maximum(logs - high, low - logs))
    return outside
