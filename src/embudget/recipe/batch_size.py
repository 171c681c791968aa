"""The batch size of a recipe, by the batch sizes of the measured cells, and where it comes from.

At a measured budget it is the study's own. Elsewhere it follows a power law through the study's (budget, batch size),
up to the largest measured one or 1024; a study with one batch size keeps it at every budget, which says nothing about
whether it is a good one there. A contrastive batch is also the number of candidates that each query must tell apart, so
that rules for language models (the step law's 0.58 D^0.571 tokens, arXiv 2503.04715) do not carry over.

A budget far from the measured ones gets a batch of its own, by the number of steps (`far_batch`). What a study itself
runs with is said in `embudget.study.batch_size`.
"""

from collections.abc import Callable, Sequence
from math import floor, log2
from typing import NamedTuple

from embudget.laws.frontier import PowerLine, fit_line
from embudget.runs.cells import Cell

MAX_BATCH_SIZE = 1024
"""Pairs a step up to which a rising batch size is extrapolated: twice the 512 candidates of the held-out loss.
assumption: more candidates than that in a batch teach little more."""
DEFAULT_BATCH_SIZE = 16
"""Pairs a step where the table does not say: the batch size of the quickstart's study."""
FAR_STEPS = 2000
"""Steps that a far budget takes at least. Where size and data share the budget's growth evenly, a run of 1/4000 of it
sees 1/63 of the tokens, so that at the same batch it takes 32 steps: no fewer than in the studies of `results`."""


class Batch(NamedTuple):
    """Pairs a step."""

    size: int
    source: str
    """Where it comes from, in words."""


class BatchByBudget(NamedTuple):
    """Pairs a step by the budget: a value, so that it can be written down and evaluated elsewhere."""

    low: int
    high: int
    """The smallest and the largest measured."""
    measured: dict[float, int]
    """By the measured budget in FLOP; without those at which several were tried."""
    mean: int
    line: PowerLine | None
    """Through the measured (budget, batch size); None where all are of one budget."""
    named: bool = True
    """Whether the table of runs names any."""

    def __call__(self, budget: float) -> Batch:
        """Pairs a step at a budget in FLOP, with the source."""
        if not self.named:
            return Batch(self.mean, "a default: the table of runs names none")
        if self.low == self.high:
            return Batch(self.low, "the only one measured: not known to be best here")
        if budget in self.measured:
            return Batch(self.measured[budget], "that of the runs measured at this budget")
        if self.line is None:
            return Batch(self.mean, f"the mean of those measured, {self.low} to {self.high}")
        size = min(self.line(budget), max(MAX_BATCH_SIZE, self.high))
        whole = 8 * round(size / 8) if size >= 8 else max(2, round(size))
        return Batch(whole, f"by a power law through the study's, {self.low} to {self.high} measured")


def sourced_batch_rule(cells: Sequence[Cell]) -> BatchByBudget:
    """Pairs a step by the budget in FLOP, with the source; between measured budgets a multiple of 8 from 8 upwards."""
    known = [(cell.budget, max(2, round(cell.batch_size))) for cell in cells if cell.batch_size is not None]
    if not known:
        return BatchByBudget(DEFAULT_BATCH_SIZE, DEFAULT_BATCH_SIZE, {}, DEFAULT_BATCH_SIZE, None, named=False)
    budgets, sizes = [at for at, _ in known], [size for _, size in known]
    tried: dict[float, set[int]] = {}
    for at, size in known:
        tried.setdefault(at, set()).add(size)
    measured = {at: here.pop() for at, here in tried.items() if len(here) == 1}
    line = fit_line(budgets, sizes) if len(tried) > 1 else None
    return BatchByBudget(min(sizes), max(sizes), measured, round(sum(sizes) / len(sizes)), line)


def batch_rule(cells: Sequence[Cell]) -> Callable[[float], int]:
    """Pairs a step by the budget in FLOP, see `sourced_batch_rule`."""
    rule = sourced_batch_rule(cells)
    return lambda budget: rule(budget).size


def far_batch(cells: Sequence[Cell], budget: float, pairs: float, min_steps: int = 1) -> Batch:
    """Pairs a step at a budget far from the measured ones, for a run on so many pairs.

    A study that varied its batch with the budget says how it grows. Else it is the power of two, 16 to 1024, that is as
    large as leaves `FAR_STEPS` steps, or ``min_steps`` if those are more.
    """
    steps = max(FAR_STEPS, min_steps)
    if len({cell.batch_size for cell in cells if cell.batch_size is not None}) > 1:
        return sourced_batch_rule(cells)(budget)
    size = 2 ** floor(log2(max(1.0, pairs / steps)))
    size = min(MAX_BATCH_SIZE, max(DEFAULT_BATCH_SIZE, size))
    span = f"{DEFAULT_BATCH_SIZE} to {MAX_BATCH_SIZE}"
    return Batch(size, f"by rule: the power of two, {span}, that leaves the target {steps:,} steps")
