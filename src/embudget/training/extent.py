"""How far does a run go, to the step? Where its decay begins and where it ends, before anything is trained.

A run ends with the step that reaches its budget, so it spends up to a step more. Where a budget must not be exceeded,
as that for a search and its final run together, that has to be known before. The order of the batches is fixed by the
seed, and their tokens are counted by drawing them, at 0.14 ms for a batch of 64.
"""

from collections.abc import Iterator
from typing import NamedTuple

from embudget.errors import BudgetError
from embudget.flops import train_flops
from embudget.training.job import Job, lengths_of, pairs_there


class Extent(NamedTuple):
    """Where a run of `schedule: wsd` branches off its trunk and where it ends, FLOP from its first step."""

    branch_flops: float
    """Spent on the trunk when its decay begins."""
    flops: float
    """Spent at its end: at least its budget, unless its pairs end before."""


def extent_of(job: Job) -> Extent:
    """Where a run that stops at the step that reaches its budget begins its decay, and where it ends.

    Raises:
        PairsError: the pairs cannot be read.
    """
    budget, decay_begins = job.config.train_flops, 1 - job.config.decay
    branch = None
    tokens = 0
    for more in _step_tokens(job):
        # by the middle of the step, as training decides it
        if branch is None and _flops(job, tokens + more / 2) / budget >= decay_begins:
            branch = _flops(job, tokens)
        tokens += more
        if _flops(job, tokens) / budget >= 1:
            break
    end = _flops(job, tokens)
    return Extent(end if branch is None else branch, end)


def budget_within(job: Job, most: float) -> float:
    """The budget in FLOP whose run ends with the last whole step within ``most`` FLOP, or with the pairs.

    The job's own budget is not looked at; that of a run that ends exactly there is what is returned.

    Raises:
        BudgetError: not one step is within it.
        PairsError: the pairs cannot be read.

    Example:
        >>> config = config.model_copy(update={"train_flops": budget_within(job, 4e12)})
        >>> record.train_flops == config.train_flops
        True
    """
    config = job.config
    most = min(most, flops_of_pairs(job))
    tokens = first = 0
    for more in _step_tokens(job):
        first = first or more
        if _flops(job, tokens + more) > most:
            break
        tokens += more
    if not tokens:
        raise BudgetError(
            f"{config.model} with {config.method} needs {_flops(job, first):.3g} FLOP for one step of "
            f"{config.batch_size} pairs, and {most:.3g} are left: raise the budget or lower batch_size"
        )
    return _flops(job, tokens)


def flops_of_pairs(job: Job) -> float:
    """FLOP above which a run is refused, since its pairs do not suffice in the mean, allowed passes included."""
    there = pairs_there(job.config, job.pairs) * lengths_of(job.config, job.pairs).tokens_per_pair
    return _flops(job, there)


def _step_tokens(job: Job) -> Iterator[int]:
    """Non-pad tokens of each step, up to the end of the pairs."""
    from embudget.training.order import BatchOrder

    config = job.config
    for batch in BatchOrder(job.tokens, config.batch_size, config.seed, config.max_epochs):
        yield job.tokens.batch(batch).tokens


def _flops(job: Job, tokens: float) -> float:
    return train_flops(job.method, job.shape, tokens)
