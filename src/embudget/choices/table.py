"""Candidates at budgets, with the loss of each by every draw of the laws: which is best, and what ties with it.

A prediction is the geometric mean over the draws. The draws themselves are widened as the 90 % intervals of the loss
are (`Surface.log_draws`), so that all that is told from them, here and in `embudget.findings`, is equally cautious.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embudget.choices.candidates import Candidate

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FACTOR = 1.5
"""Between two budgets of the grid. Losses are close to powers of the budget, so a finer grid changes little."""
TIE_DRAWS = 0.1
"""Share of the draws in which a choice must beat the best one to count as no worse."""


class Predicts(Protocol):
    """What choices ask of laws; `embudget.laws.Surface` answers."""

    @property
    def noise(self) -> float:
        """Relative standard deviation of one run."""
        ...

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        """Log loss in nats of m choices by each draw (draws, m)."""
        ...

    def with_discrepancy(self, gaps: Array, mean: Array, times: Array) -> Array:
        """Differences between kinds (draws, b), wider by what no form of law explains ``times`` outside."""
        ...


@dataclass(frozen=True)
class Choices:
    """c candidates at b budgets, with the loss of each by every draw of the laws.

    This compares what may be chosen and knows no wishes; for an answer under constraints use `embudget.recommend`.

    Args:
        surface: what predicts the losses, such as `Laws.surface`.
        candidates: what a budget may be spent on (c,).
        budgets: FLOP (b,).
        tokens: D that each candidate gets for each budget (c, b); NaN where it is not considered.

    Example:
        >>> import embudget as eb
        >>> from embudget.choices import Choices, candidates_of
        >>> laws = eb.find_laws("smollm2")
        >>> candidates = candidates_of(eb.find_suite("smollm2")[:4], ["full", "lora:8"])
        >>> choices = Choices.of(laws.surface, candidates, [1e12, 1e14])
        >>> [candidates[row].model for row in choices.best()]
        ['smollm2-135m:2', 'smollm2-135m:4']
    """

    surface: Predicts
    candidates: Sequence[Candidate]
    budgets: Array
    tokens: Array

    @classmethod
    def of(cls, surface: Predicts, candidates: Sequence[Candidate], budgets: ArrayLike) -> Self:
        """Spend the whole of each budget in FLOP (b,) on training, where a candidate is considered at that budget."""
        at = np.asarray(budgets, dtype=float)
        cost = np.array([one.flops_per_token for one in candidates])[:, None]
        low, high = np.array([one.budgets for one in candidates]).reshape(-1, 2).T[..., None]
        return cls(surface, candidates, at, np.where((low <= at) & (at <= high), at / cost, np.nan))

    @cached_property
    def sizes(self) -> Array:
        """N of the candidates (c,)."""
        return np.array([one.model_params for one in self.candidates], dtype=float)

    @cached_property
    def log_losses(self) -> Array:
        """By every draw (draws, c, b); infinite where a candidate is not considered. One draw where none is."""
        rows, places = np.nonzero(np.isfinite(self.tokens))
        if not len(rows):
            return np.full((1, *self.tokens.shape), np.inf)
        names = [str(one.method) for one in self.candidates]
        logs = self.surface.log_draws([names[row] for row in rows], self.sizes[rows], self.tokens[rows, places])
        every = np.full((len(logs), *self.tokens.shape), np.inf)
        every[:, rows, places] = logs
        return every

    @cached_property
    def predicted(self) -> Array:
        """Loss in nats (c, b), the geometric mean over the draws; infinite where a candidate is not considered."""
        losses: Array = np.exp(self.log_losses.mean(axis=0))
        return losses

    def best(self) -> list[int]:
        """The candidate with the lowest predicted loss at each budget (b,), the first of those alike."""
        return [int(row) for row in self.predicted.argmin(axis=0)]

    def ties(self) -> Mask:
        """Which candidates cannot be told from the best of a budget (c, b), the best among them.

        The optimum in N is flat, so that often several sizes and methods are predicted to be within one run's noise of
        the lowest loss, or beat the best in a tenth of the draws. Both count as ties.
        """
        best, places = self.best(), np.arange(len(self.budgets))
        lowest = self.predicted[best, places]
        with np.errstate(invalid="ignore"):  # infinite losses where nothing is considered
            near = self.predicted / lowest - 1 <= self.surface.noise
        wins = (self.log_losses < self.log_losses[:, best, places][:, None]).mean(axis=0)
        tied: Mask = near | (wins >= TIE_DRAWS)
        return tied

    def outside(self, smallest: float, largest: float) -> Array:
        """Factors by which training lies outside these two budgets (b,), the least over the candidates; 1 inside."""
        train_flops = self.tokens * np.array([[one.flops_per_token] for one in self.candidates])
        times = np.maximum(1.0, np.maximum(train_flops / largest, smallest / train_flops))
        least: Array = np.where(np.isfinite(times), times, np.inf).min(axis=0)
        return np.where(np.isfinite(least), least, 1.0)

    def lowest(self) -> Array:
        """The lowest log loss of any candidate by every draw (draws, b)."""
        losses: Array = self.log_losses.min(axis=1)
        return losses

    def best_log_sizes(self) -> Array:
        """Log N of the candidate with the lowest loss by every draw (draws, b)."""
        sizes: Array = np.log(self.sizes)[self.log_losses.argmin(axis=1)]
        return sizes

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of method among the candidates, sorted."""
        return tuple(sorted({one.method.name for one in self.candidates}))

    def of_kinds(self, values: Array) -> Array:
        """The lowest value of each kind (..., kinds, b) from those of the candidates (..., c, b)."""
        rows = [[row for row, one in enumerate(self.candidates) if one.method.name == kind] for kind in self.kinds]
        return np.stack([values[..., mine, :].min(axis=-2) for mine in rows], axis=-2)


def budgets_between(low: float, high: float) -> Array:
    """The grid of budgets in FLOP, both ends included, at most `FACTOR` apart."""
    return np.geomspace(low, high, 1 + ceil(log(high / low) / log(FACTOR)))
