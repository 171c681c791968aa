"""Did training help at all? What to doubt of a run that ends no better than it began, with the likely cause.

Three ends are told, each by the held-out pairs on which the start was measured as well:

    nothing changed     the loss and the nDCG are those of the start: the method had no effect
    a higher loss       training made the model worse
    a lower nDCG        it ranks worse by more than the error of groups, though its loss is lower: what was learned is
                        the scale of the scores

A cause is a guess from what the configuration says. It is told as likely, with what to do.
"""

from collections.abc import Iterator

from embudget.methods import Method
from embudget.records import RunConfig
from embudget.suite.members import start_of
from embudget.suite.shapes import ModelShape
from embudget.training.heldout import HeldOut
from embudget.yardstick import paired_difference

SAME = 1e-6
"""Nats, and nDCG: below this a difference is rounding. One step at a rate of 1e-6 changes a loss by more."""
FAST = 3.0
"""Times the method's default rate from which on the rate is named as a cause: a factor of 3 costs about 0.1 nats near
the best rate (`docs/concepts/rates.md`), and more beyond."""
FEW_STEPS = 30
"""assumption: with fewer steps a run may end before it has made up for its first, rough ones."""
RISING = 0.5
"""Share of a budget in warm-up from which on the warm-up is named as a cause."""
REPEATED = 4.0
"""Passes over the pairs from which on repetition is named: up to four cost little (Muennighoff et al. 2023)."""


def remarks_of(
    config: RunConfig,
    shape: ModelShape,
    method: Method,
    base: HeldOut,
    measured: HeldOut,
    *,
    steps: int,
    passes: float,
    got_gradient: bool,
) -> tuple[str, ...]:
    """What to doubt of a run that has spent its budget, in sentences; nothing of one that helped.

    Args:
        config: the run.
        shape: its model's sizes.
        method: what it trained.
        base: the start before training.
        measured: the trained model, on the same pairs.
        steps: optimiser steps.
        passes: over the training pairs.
        got_gradient: whether any trained parameter had a gradient.
    """
    if abs(measured.loss - base.loss) <= SAME and abs(measured.ndcg - base.ndcg) <= SAME:
        why = (
            f"its rate of {config.learning_rate:g} over {steps:,} steps is too low to move them; raise learning_rate"
            if got_gradient
            else "no gradient reached them; choose another method"
        )
        return (
            f"training changed nothing: likely cause: the parameters that {config.method} trains stayed, since {why}",
        )
    causes = "; or ".join(_causes(config, shape, method, steps, passes)) or (
        f"the learning rate of {config.learning_rate:g} is too high for this start, or the training pairs teach "
        "something else than the held-out ones ask; try a third of the rate"
    )
    if measured.loss > base.loss:
        apart = paired_difference(measured.groups, base.groups)
        error = f" ± {apart.error:.3f}" if apart.error == apart.error else ""
        return (
            f"the held-out loss of {measured.loss:.3f} nats is above that of the start before training, "
            f"{base.loss:.3f}, by {measured.loss - base.loss:.3f}{error}: likely cause: {causes}",
        )
    apart = paired_difference(measured.groups, base.groups, "ndcg")
    if measured.ndcg < base.ndcg and apart.is_real:
        return (
            f"nDCG@10 of {measured.ndcg:.3f} is below that of the start before training, {base.ndcg:.3f}, though the "
            f"loss is lower: the scale of the scores was learned, and the ranking suffered: likely cause: {causes}",
        )
    return ()


def _causes(config: RunConfig, shape: ModelShape, method: Method, steps: int, passes: float) -> Iterator[str]:
    default, start = method.default_learning_rate(shape), start_of(config.model)
    for holds, cause in (
        (
            config.learning_rate >= FAST * default,
            f"the learning rate of {config.learning_rate:g} is {config.learning_rate / default:.2g} times the default "
            f"of {config.method}; lower it",
        ),
        (
            (config.query_prompt, config.document_prompt) != (start.query_prompt, start.document_prompt),
            f"the prompts are not those that {config.model} was trained with; leave them out to take its own",
        ),
        (
            config.attention is not None,
            f"its attention was made {config.attention}; train longer, or leave it as it is",
        ),
        (config.warmup >= RISING, f"the rate rose during {100 * config.warmup:.0f} % of the run; shorten the warm-up"),
        (steps < FEW_STEPS, f"{steps} steps are few; raise the budget or lower batch_size"),
        (passes >= REPEATED, f"the pairs were repeated {passes:.2g} times; add pairs or lower the budget"),
    ):
        if holds:
            yield cause
