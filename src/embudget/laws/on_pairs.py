"""What do the laws predict where the training data are few, so that a budget repeats them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import norm

from embudget.frozen import Frozen
from embudget.laws.components import Branch, Component
from embudget.laws.forms import Array
from embudget.laws.repetition import Repetition
from embudget.laws.surface import Kind, Surface


@dataclass(frozen=True)
class OnPairs:
    """A surface for training on so many unique tokens; what `Choices` and recipes ask instead of the surface itself.

    Where no token is repeated its answers are those of the surface, to the last bit.
    """

    surface: Surface
    repetition: Repetition
    unique_tokens: float | Array

    @property
    def noise(self) -> float:
        """Relative standard deviation of one run."""
        return self.surface.noise

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """As `Surface.log_draws`, each draw with its own R, the same for all choices."""
        logs = self.surface.log_draws(methods, model_params, self.repetition.effective(tokens, self.unique_tokens))
        slope = self._by_reuse(methods, model_params, tokens)
        return logs + normal_quantiles(len(logs))[:, None] * slope if slope.any() else logs

    def log_losses(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """The predicted log loss (m,) of m choices, the mean over the draws."""
        effective = self.repetition.effective(tokens, self.unique_tokens)
        logs: Array = self.surface.log_draws(methods, model_params, effective).mean(axis=0)
        return logs

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """As `Surface.predict`."""
        return self.surface.predict(method, model_params, float(self.repetition.effective(tokens, self.unique_tokens)))

    def interval(
        self, method: str, model_params: float, tokens: float, level: float = 0.9, of: Kind = "run"
    ) -> tuple[float, float]:
        """As `Surface.interval`, wider by what is not known of R."""
        low, high = self.intervals([method], np.array([model_params]), np.array([tokens]), level, of)
        return float(low[0]), float(high[0])

    def intervals(
        self, methods: Sequence[str], model_params: Array, tokens: Array, level: float = 0.9, of: Kind = "run"
    ) -> tuple[Array, Array]:
        """As `Surface.intervals`, wider by what is not known of R, and by its own error beyond measured passes."""
        effective = self.repetition.effective(tokens, self.unique_tokens)
        slope = self._by_reuse(methods, model_params, tokens)
        own_error = self.repetition.own_error(tokens, self.unique_tokens)
        return self.surface.intervals(methods, model_params, effective, level, of, slope**2 + own_error**2)

    def with_discrepancy(self, gaps: Array, mean: Array, times: Array) -> Array:
        """As `Surface.with_discrepancy`."""
        return self.surface.with_discrepancy(gaps, mean, times)

    @cached_property
    def _few(self) -> Surface:
        """The surface with a tenth of the draws, which suffice for a slope: with all it would cost two predictions."""
        components = tuple(
            Component.model_construct(**_fields(one) | {"branches": tuple(map(thinned, one.branches))})
            for one in self.surface.components
        )
        return Surface.model_construct(**_fields(self.surface) | {"components": components})

    def _by_reuse(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """By how much a standard deviation of log R moves each log loss (m,); 0 where no token is repeated."""
        moved = np.zeros(len(methods))
        rows = np.flatnonzero(tokens > self.unique_tokens)
        if len(rows):
            unique = np.broadcast_to(self.unique_tokens, np.shape(tokens))[rows]
            names, sizes = [methods[row] for row in rows.tolist()], model_params[rows]
            effective = [self.repetition.effective(tokens[rows], unique, sign) for sign in (1.0, -1.0)]
            more, less = (self._few.log_draws(names, sizes, one).mean(axis=0) for one in effective)
            moved[rows] = (more - less) / 2
        return moved


def _fields(value: Frozen) -> dict[str, Any]:
    """The fields of a value without what it has cached, which a copy would keep."""
    return {name: getattr(value, name) for name in type(value).model_fields}


def thinned(branch: Branch) -> Branch:
    """The branch with every tenth draw, and none of other held-out groups."""
    return Branch.model_construct(**_fields(branch) | {"draws": branch.draws[::10], "moved": ()})


def normal_quantiles(count: int) -> Array:
    """Quantiles of the standard normal distribution (count,), in a fixed random order."""
    order = np.random.default_rng(0).permutation(count)
    quantiles: Array = norm.ppf((order + 0.5) / count)
    return quantiles
