"""Training up to a budget: step by step until the FLOP are spent, and in several processes to the same step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from embudget.training.interrupt import deferred, heed, pending, raise_pending, raise_together
from embudget.training.loop import Training


def run_to_budget(
    training: Training,
    budget: float,
    factor: Callable[[float], float],
    after_step: Callable[[float, float], None] = lambda share, loss: None,
) -> None:
    """Train on until the step that reaches a budget in FLOP, each step at the rate of its middle.

    ``factor`` maps the share of the budget to the factor on the peak rate; ``after_step`` is called with the share that
    is spent and the step's training loss.
    """
    meter = training.meter
    while meter.share(budget) < 1:
        with whole_steps(training):
            loss = training.step(factor(meter.share(budget, training.next_tokens() / 2)))
            after_step(meter.share(budget), loss)


@contextmanager
def whole_steps(training: Training) -> Iterator[None]:
    """Take a step and what follows it: where several processes train, all of them end behind the same step.

    They wait for one another in a step, so that none may leave it early.
    """
    if training.place.num_processes == 1:
        raise_pending()
        yield
        return
    with deferred():
        yield
        signals = torch.tensor([pending()], device=training.place.device)
        torch.distributed.all_reduce(signals, torch.distributed.ReduceOp.MAX)
        heed()
        if number := int(signals.item()):
            raise_together(number)
