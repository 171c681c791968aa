"""How good is a retriever before it is trained? Measured before the first decision, since its law begins there.

A base model begins near chance, whatever its size. A retriever that exists may be better as it is than all that the
budget can train, and a policy that does not know its loss would buy a run to find out. Measuring takes no FLOP of the
budget: it is loaded and embeds the held-out pairs once, which its first run in this process need not do again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from embudget.errors import ModelError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.runs.lineages import is_of_retrievers
from embudget.spending.allocation import Allocation
from embudget.spending.arms import Sources

SHARE = 0.05
"""Share of a budget in seconds that measuring all starts may take: it is not charged to any run."""


def with_starts(
    allocation: Allocation,
    sources: Sources,
    pairs: Pairs,
    known: Sequence[RunRecord],
    tell: Callable[[str, float], None] = lambda model, loss: None,
) -> Allocation:
    """The allocation with the losses of its retrievers before training.

    Args:
        allocation: the budget and its arms.
        sources: runs of its arms.
        pairs: the text pairs.
        known: records of runs of the arms, which hold the losses of their starts.
        tell: told of each member and its loss in nats.

    Raises:
        PairsError: there are fewer validation pairs than the study measures on.
    """
    losses = {one.config.model: one.base_loss for one in known if one.base_loss is not None}
    asked = {arm.model: arm for arm in allocation.arms if arm.model not in losses and is_of_retrievers(arm.lineage)}
    takes = sum(arm.seconds_per_run for arm in asked.values())
    if allocation.unit == "seconds" and takes > SHARE * allocation.budget:
        asked = {}
    for model, arm in asked.items():
        with suppress(ModelError):  # its runs will say why
            loss = _loss(sources.templates[model, arm.method], pairs)
            if loss is not None:
                losses[model] = loss
                tell(model, loss)
    arms = tuple(one.model_copy(update={"base_loss": losses.get(one.model, one.base_loss)}) for one in allocation.arms)
    return allocation.model_copy(update={"arms": arms})


def _loss(config: RunConfig, pairs: Pairs) -> float | None:
    from embudget.training.base import base_score
    from embudget.training.job import Job
    from embudget.training.loop import Training

    score = base_score(Training(Job.of(config, pairs)), {})
    return None if score is None else score.loss
