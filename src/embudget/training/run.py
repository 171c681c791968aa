"""One training run, from its configuration to a trained model and its record."""

import math
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from embudget.errors import PairsError, RunError
from embudget.flops import tokens_for
from embudget.methods import parse_method
from embudget.pairs import Pairs, token_stats
from embudget.records import RunConfig, RunRecord
from embudget.suite import find_shape

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.trainer import BudgetTrainer, OnProgress

CURVE_POINTS = 100
"""Points of the training curve that a record keeps."""


def train_run(
    config: RunConfig, pairs: Pairs, on_progress: "OnProgress | None" = None, processes: int = 1
) -> tuple["SentenceTransformer", RunRecord]:
    """Train one run and measure it on the held-out pairs.

    Args:
        config: what to run.
        pairs: the text pairs whose content hash the configuration names.
        on_progress: called after each step with the share of the budget spent and the training loss.
        processes: runs that share this machine's memory at a time.

    Returns:
        The trained model, merged (no adapters), on the device it was trained on; and its record.

    Raises:
        ModelError, MethodError: the model cannot be loaded or not be trained by the method.
        PairsError: the pairs are others than the configuration's, or too few for the budget or the measurement.
        RunError: the loss became NaN or infinite, or the process is one of several (torchrun).
    """
    from transformers import set_seed

    from embudget.suite.loading import find_checkpoint, load_embedder
    from embudget.training.heldout import held_out
    from embudget.training.provenance import provenance

    shape, method = find_shape(config.model), parse_method(config.method)
    method.check(shape)
    check_pairs(config, pairs)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(f"a run uses one process, got WORLD_SIZE={os.environ['WORLD_SIZE']}: start it without torchrun")

    set_seed(config.seed)
    model = load_embedder(config.model, config.max_length)
    made = provenance(find_checkpoint(config.model).identity)
    model[0].model = method.apply(model[0].model)
    with tempfile.TemporaryDirectory() as folder:  # the trainer wants one, and writes nothing
        trainer = _trainer(model, config, pairs, on_progress, processes, folder)
        seconds = _train(trainer)
    model[0].model = method.merge(model[0].model)
    measured = held_out(model, pairs, config.eval_pairs, config.eval_candidates, config.scale)
    if not math.isfinite(measured.loss):
        raise RunError(f"the held-out loss became {measured.loss}: lower the learning rate")
    meter = trainer.meter
    return model, RunRecord(
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


def pairs_there(config: RunConfig, pairs: Pairs) -> int:
    """Training pairs that a run may see: whole batches, in each of its epochs."""
    return config.max_epochs * (pairs.rows("train") // config.batch_size) * config.batch_size


def _trainer(
    model: "SentenceTransformer",
    config: RunConfig,
    pairs: Pairs,
    on_progress: "OnProgress | None",
    processes: int,
    folder: str,
) -> "BudgetTrainer":
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments

    from embudget.training.loss import ContrastiveLoss
    from embudget.training.memory import needs_cache
    from embudget.training.meter import BudgetMeter
    from embudget.training.trainer import BudgetTrainer

    tokens_per_pair = token_stats(pairs, config.model, config.max_length).tokens_per_pair
    shape, method = find_shape(config.model), parse_method(config.method)
    cached = needs_cache(method, shape, tokens_per_pair * config.batch_size, processes)
    meter = BudgetMeter(config.train_flops, method, shape, forwards=2 if cached else 1)
    arguments = SentenceTransformerTrainingArguments(output_dir=folder, **_arguments(config, pairs))
    _ = arguments.device  # sets _n_gpu, which is then set to one:
    arguments._n_gpu = min(1, arguments.n_gpu)  # DataParallel over all GPUs would multiply the batch
    return BudgetTrainer(
        meter=meter,
        warmup=config.warmup,
        on_progress=on_progress,
        model=model,
        args=arguments,
        train_dataset=Dataset(pairs.table("train").select(["query", "positive"])),
        loss=ContrastiveLoss(model, config.scale, cached=cached, meter=meter),
    )


def _train(trainer: "BudgetTrainer") -> float:
    """Train until the budget is spent; the seconds it took.

    Raises:
        RunError: the pairs ended before the budget.
    """
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    # accelerate has wrapped the forward pass in autocast: measure and export in float32
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if not trainer.meter.spent:
        share = f"{100 * trainer.meter.share:.1f} %"
        raise RunError(f"the pairs ended at {share} of the budget: allow more epochs")
    return seconds


def _arguments(config: RunConfig, pairs: Pairs) -> dict[str, Any]:
    import torch

    from embudget.training.memory import uses_bf16

    return {
        # an upper bound only: the budget ends the run before
        "max_steps": pairs_there(config, pairs) // config.batch_size,
        "per_device_train_batch_size": config.batch_size,
        "batch_sampler": "no_duplicates",
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "optim": "adamw_torch_fused",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "max_grad_norm": 1.0,
        "bf16": uses_bf16(),
        "seed": config.seed,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _late_mean(losses: list[tuple[float, float]]) -> float:
    """Mean training loss over the last tenth of the budget, the last step at least."""
    late = [loss for share, loss in losses if share >= 0.9] or [losses[-1][1]]
    return sum(late) / len(late)


def _thinned(losses: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    stride = -(-len(losses) // CURVE_POINTS)
    return tuple((round(share, 6), loss) for share, loss in losses[::-stride][::-1])
