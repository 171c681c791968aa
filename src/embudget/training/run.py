"""One training run, from its configuration to a trained model and its record."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from embudget.errors import DivergedError, PairsError, RunError
from embudget.flops import tokens_for
from embudget.methods import parse_method
from embudget.pairs import Pairs, token_stats
from embudget.records import Provenance, RunConfig, RunRecord
from embudget.suite import find_shape
from embudget.training.resources import Resources

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.heldout import HeldOut
    from embudget.training.loop import Training

CURVE_POINTS = 100
"""Points of the training curve that a record keeps."""

OnProgress = Callable[[float, float], None]
"""Called after each step with the share of the budget spent and the step's training loss in nats."""


def train_run(
    config: RunConfig,
    pairs: Pairs,
    on_progress: OnProgress | None = None,
    resources: Resources | None = None,
    on_step: "Callable[[Training], None] | None" = None,
    on_done: "Callable[[SentenceTransformer, RunRecord], None] | None" = None,
) -> tuple["SentenceTransformer", RunRecord]:
    """Train one run and measure it on the held-out pairs; one that was interrupted goes on from its last checkpoint.

    Args:
        config: what to run.
        pairs: the text pairs whose content hash the configuration names.
        on_progress: called after each step with the share of the budget spent and the training loss.
        resources: how to go about it.
        on_step: called after each step with the training, for trackers.
        on_done: called in the first process with what is returned, while the checkpoints are still there.

    Returns:
        The trained model, merged (no adapters), on the device it was trained on; and its record.

    Raises:
        ModelError, MethodError: the model cannot be loaded or not be trained by the method.
        PairsError: the pairs are others than the configuration's, or too few for the budget or the measurement.
        DivergedError: the loss became NaN or infinite, or exploded.
        RunError: the pairs' texts repeat too often to make enough batches, memory does not suffice, or a checkpoint is
            that of another model.
    """
    from embudget.training.attention import use_plain_attention
    from embudget.training.loop import Training, run_to_budget
    from embudget.training.resuming import Resuming
    from embudget.training.schedule import factor_of

    resources = resources or Resources()
    check_pairs(config, pairs)
    check_order(config, pairs)
    made = provenance_of(config)
    training = Training(config, pairs, resources)
    with Resuming(training, config.id, made, resources) as resuming:

        def after_step(share: float, loss: float) -> None:
            resuming.save_if_due()
            if on_step is not None:
                on_step(training)
            if on_progress is not None:
                on_progress(share, loss)

        run_to_budget(training, config.train_flops, factor_of(config), after_step)
        record = record_of(training, config, training.measure(pairs), resuming.provenance)
        use_plain_attention(training.model)  # whoever gets the model may use it in float32
        training.model[0].model = training.method.merge(training.model[0].model)
        if on_done is not None and training.place.is_main_process:
            on_done(training.model, record)
    return training.model, record


def provenance_of(config: RunConfig) -> Provenance:
    """Where a run that starts now comes from."""
    from embudget.suite.loading import find_checkpoint
    from embudget.training.provenance import provenance

    return provenance(find_checkpoint(config.model).identity)


def record_of(
    training: "Training", config: RunConfig, measured: "HeldOut", made: Provenance, shared_flops: float | None = None
) -> RunRecord:
    """The record of a run that has spent its budget."""
    meter, curve = training.meter, training.curve(config.train_flops)
    return RunRecord(
        config=config,
        status="done",
        provenance=made,
        model_params=meter.shape.model_params,
        trained_params=meter.method.trained_params(meter.shape),
        steps=meter.steps,
        pairs_seen=meter.pairs,
        tokens=meter.tokens,
        train_flops=meter.train_flops,
        shared_flops=shared_flops,
        executed_flops=meter.executed_flops,
        seconds=training.seconds,
        loss=measured.loss,
        accuracy=measured.accuracy,
        ndcg=measured.ndcg,
        train_loss=_late_mean(curve),
        loss_curve=thinned(curve),
    )


def diverged_record(config: RunConfig, error: DivergedError) -> RunRecord:
    """The record of a run whose loss became NaN, infinite or exploded."""
    curve = thinned(error.curve_of(config.train_flops))
    return RunRecord(config=config, status="diverged", error=str(error), loss_curve=curve)


def check_pairs(config: RunConfig, pairs: Pairs) -> None:
    """Refuse, before anything is trained, pairs that a run cannot be done on.

    Raises:
        PairsError: they are not the configuration's, too few to train on in the epochs that it allows, or too few to
            measure the held-out loss on.
    """
    if pairs.hash != config.pairs:
        raise PairsError(f"pairs must have the content hash {config.pairs}, got {pairs.hash} in {pairs.folder}")
    if pairs.rows("validation") < config.eval_pairs:
        there = pairs.rows("validation")
        raise PairsError(f"{pairs.folder} must hold {config.eval_pairs} validation pairs (eval_pairs), got {there}")
    tokens_per_pair = token_stats(pairs, config.model, config.max_length).tokens_per_pair
    needed = tokens_for(config.train_flops, parse_method(config.method), find_shape(config.model)) / tokens_per_pair
    there = pairs_there(config, pairs)
    if needed > there:
        raise PairsError(
            f"{config.model} with {config.method} at {config.train_flops:g} FLOP needs about {needed:,.0f} pairs, got "
            f"{there:,} in {pairs.folder} with max_epochs={config.max_epochs}: allow more epochs"
        )


def check_order(config: RunConfig, pairs: Pairs) -> None:
    """Refuse, before anything is trained, pairs whose texts repeat too often to make enough batches for the budget.

    The batches of the run itself are counted: in a split of one window (see `embudget.training.order`), which is read
    as a whole at the first step anyway, that takes 0.14 ms a batch of 64. Larger splits are taken as they are.

    Raises:
        RunError: the batches end before the budget.
        PairsError: the pairs cannot be read, or the cache of their tokens cannot be written.
    """
    from embudget.pairs.token_cache import TokenCache
    from embudget.training.meter import BudgetMeter
    from embudget.training.order import WINDOW, BatchOrder

    if pairs.rows("train") > WINDOW:
        return
    method, shape = parse_method(config.method), find_shape(config.model)
    tokens, meter = TokenCache(pairs, config.model, config.max_length), BudgetMeter(method, shape)
    for batch in BatchOrder(tokens, config.batch_size, config.seed, config.max_epochs):
        meter.add_step(len(batch), sum(map(len, tokens.texts(batch))))
        if meter.share(config.train_flops) >= 1:
            return
    there = pairs_there(config, pairs)
    left = there - meter.pairs
    repeats = f", for {left:,} of {there:,} pairs find no batch of {config.batch_size} without one of their texts"
    raise RunError(
        f"{config.model} with {config.method} at {config.train_flops:g} FLOP needs "
        f"{tokens_for(config.train_flops, method, shape):,.0f} tokens, got {meter.tokens:,} in the batches from "
        f"{pairs.folder} with max_epochs={config.max_epochs}{repeats if left else ''}: allow more epochs"
        + (" or smaller batches" if left else "")
    )


def pairs_there(config: RunConfig, pairs: Pairs) -> int:
    """Training pairs that a run may see at most: whole batches, in each of its epochs, if no text repeats."""
    return config.max_epochs * (pairs.rows("train") // config.batch_size) * config.batch_size


def thinned(curve: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Points of a training curve for a record, the last one among them."""
    stride = -(-len(curve) // CURVE_POINTS)
    return tuple((round(share, 6), loss) for share, loss in curve[::-stride][::-1]) if curve else ()


def _late_mean(curve: list[tuple[float, float]]) -> float:
    """Mean training loss over the last tenth of the budget, the last step at least."""
    late = [loss for share, loss in curve if share >= 0.9] or [curve[-1][1]]
    return sum(late) / len(late)
