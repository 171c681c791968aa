"""One training run, from its configuration to a trained model and its record."""

import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any

from embudget.errors import PairsError
from embudget.flops import tokens_for
from embudget.methods import Method, parse_method
from embudget.pairs import Pairs, token_stats
from embudget.records import RunConfig, RunRecord
from embudget.suite import ModelShape, find_shape

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.meter import BudgetMeter
    from embudget.training.trainer import BudgetTrainer, OnProgress

CURVE_POINTS = 100
"""Points of the training curve that a record keeps."""


def train_run(
    config: RunConfig, pairs: Pairs, on_progress: "OnProgress | None" = None
) -> tuple["SentenceTransformer", RunRecord]:
    """Train one run and measure it on the held-out pairs.

    Args:
        config: what to run.
        pairs: the text pairs whose content hash the configuration names.
        on_progress: called after each step with the share of the budget spent and the training loss.

    Returns:
        The trained model, merged (no adapters), on the device it was trained on; and its record.

    Raises:
        ModelError, MethodError: the model cannot be loaded or not be trained by the method.
        PairsError: the pairs are others than the configuration's, or too few for the budget.
        RunError: the loss became NaN or infinite.
    """
    from transformers import set_seed

    from embudget.suite.loading import find_checkpoint, load_embedder
    from embudget.training.heldout import held_out
    from embudget.training.provenance import provenance

    shape, method = find_shape(config.model), parse_method(config.method)
    method.check(shape)
    if pairs.hash != config.pairs:
        raise PairsError(f"pairs must have the content hash {config.pairs}, got {pairs.hash} in {pairs.folder}")
    _check_enough(config, method, shape, pairs)

    set_seed(config.seed)
    model = load_embedder(config.model, config.max_length)
    made = provenance(find_checkpoint(config.model).identity)
    model[0].model = method.apply(model[0].model)
    started = time.perf_counter()
    trainer = _train(model, config, method, shape, pairs, on_progress)
    seconds = time.perf_counter() - started
    model[0].model = method.merge(model[0].model)
    measured = held_out(model, pairs, config.eval_pairs, config.eval_candidates, config.scale)
    meter: BudgetMeter = trainer.meter
    record = RunRecord(
        config=config,
        status="done",
        provenance=made,
        model_params=shape.model_params,
        trained_params=method.trained_params(shape),
        steps=meter.steps,
        pairs_seen=meter.pairs,
        tokens=meter.tokens,
        train_flops=meter.train_flops,
        executed_flops=meter.executed_flops,
        seconds=seconds,
        loss=measured.loss,
        accuracy=measured.accuracy,
        train_loss=_late_mean(trainer.losses),
        loss_curve=_thinned(trainer.losses),
    )
    return model, record


def _train(
    model: "SentenceTransformer",
    config: RunConfig,
    method: Method,
    shape: ModelShape,
    pairs: Pairs,
    on_progress: "OnProgress | None",
) -> "BudgetTrainer":
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments

    from embudget.training.loss import ContrastiveLoss
    from embudget.training.memory import needs_cache
    from embudget.training.meter import BudgetMeter
    from embudget.training.trainer import BudgetTrainer

    stats = token_stats(pairs, config.model, config.max_length)
    cached = needs_cache(method, shape, stats.tokens_per_pair * config.batch_size)
    meter = BudgetMeter(config.train_flops, method, shape, forwards=2 if cached else 1)
    loss = ContrastiveLoss(model, config.scale, cached=cached, meter=meter)
    model.model_card_data.generate_widget_examples = False
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # the sampler's epochs are pinned by our own check of the number of pairs
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        arguments = SentenceTransformerTrainingArguments(output_dir=folder, **_arguments(config, pairs))
        trainer = BudgetTrainer(
            meter=meter,
            warmup=config.warmup,
            on_progress=on_progress,
            model=model,
            args=arguments,
            train_dataset=Dataset(pairs.table("train").select(["query", "positive"])),
            loss=loss,
        )
        trainer.train()
    return trainer


def _arguments(config: RunConfig, pairs: Pairs) -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    return {
        # an upper bound only: the budget ends the run before
        "max_steps": config.max_epochs * (pairs.rows("train") // config.batch_size),
        "per_device_train_batch_size": config.batch_size,
        "batch_sampler": "no_duplicates",
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "optim": "adamw_torch_fused",
        "bf16": cuda and torch.cuda.is_bf16_supported(),
        "seed": config.seed,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": cuda,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _check_enough(config: RunConfig, method: Method, shape: ModelShape, pairs: Pairs) -> None:
    """Refuse a run that would need more passes over the training pairs than the configuration allows."""
    stats = token_stats(pairs, config.model, config.max_length)
    needed = tokens_for(config.train_flops, method, shape) / stats.tokens_per_pair
    there = config.max_epochs * (pairs.rows("train") // config.batch_size) * config.batch_size
    if needed > there:
        raise PairsError(
            f"{config.model} with {config.method} at {config.train_flops:g} FLOP needs about {needed:,.0f} pairs, got "
            f"{pairs.rows('train'):,} in {pairs.folder} for {config.max_epochs} epoch(s): allow more epochs"
        )


def _late_mean(losses: list[tuple[float, float]]) -> float:
    """Mean training loss over the last tenth of the budget, the last step at least."""
    late = [loss for share, loss in losses if share >= 0.9] or [losses[-1][1]]
    return sum(late) / len(late)


def _thinned(losses: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    stride = -(-len(losses) // CURVE_POINTS)
    return tuple((round(share, 6), loss) for share, loss in losses[::-stride][::-1])
