r"""What `embudget.training.rows` gains: the input embedding updated by rows, against a dense fused AdamW.

    .venv/bin/python -m benchmarks.row_update --pairs quickstart/pairs --out results/speed/row_update.json
    .venv/bin/python -m benchmarks.row_update --pairs quickstart/pairs --whole-step --batch-sizes 16 64 \
        --rounds 7 --out results/speed/row_step.json

The first measures the update by itself. Both sides get the same gradients on a table of the model's shape, in turn. The
dense side is what an embedding layer costs otherwise: a gradient of the whole table (zeroed, then filled where rows
occur), its norm for clipping, and fused AdamW over all of it; ours finds the distinct rows, lets them catch up, and
takes the norm and updates of these. At the end all rows of ours catch up, and the tables are compared.

With `--whole-step` full fine-tuning steps are measured instead, ours and the same with a dense gradient and update of
the input embedding, on the same batches in turn. There each chunk of a batch makes a dense gradient of its own.
"""

import argparse
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from benchmarks import engine
from embudget.files import write_whole
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig
from embudget.suite.loading import load_embedder
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.optimizer import TrainedParameters
from embudget.training.rows import RowAdamW

RATE, DECAY = 1e-4, 0.1
LARGE = 1e9
"""A norm that no gradient reaches, so that both sides step by the same."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m:1")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 128, 1024])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--whole-step", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    compare = measure_step if options.whole_step else measure
    result = {
        "command": shlex.join([".venv/bin/python", *sys.orig_argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "model": options.model,
        "cells": [compare(options.model, pairs, batch_size, options.rounds) for batch_size in options.batch_sizes],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.out, json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def measure(model: str, pairs: Pairs, batch_size: int, rounds: int) -> dict[str, Any]:
    """One batch size: medians over the rounds, in milliseconds."""
    start_VH = load_embedder(model, 75)[0].model.get_input_embeddings().weight.detach()
    generator = torch.Generator().manual_seed(0)
    dense = nn.Parameter(start_VH.clone())
    dense.grad = torch.zeros_like(dense)
    optimizer = torch.optim.AdamW([dense], lr=RATE, weight_decay=DECAY, fused=True)
    table = nn.Parameter(start_VH.clone())
    rows = RowAdamW(table, DECAY)
    seconds: dict[str, list[float]] = {"dense": [], "rows": []}
    occurring = []
    for ids in token_ids(model, pairs, batch_size, rounds):
        rows_R = torch.unique(ids)
        gradient_RH = torch.randn(len(rows_R), start_VH.shape[1], generator=generator)
        occurring.append(len(rows_R))

        started = time.perf_counter()
        dense.grad.zero_()
        dense.grad[rows_R] = gradient_RH
        clip_grad_norm_([dense], LARGE)
        optimizer.step()
        seconds["dense"].append(time.perf_counter() - started)

        started = time.perf_counter()
        distinct_R = torch.unique(ids)
        rows.catch_up(distinct_R)
        torch.linalg.vector_norm(gradient_RH)
        rows.step(distinct_R, gradient_RH, RATE)
        seconds["rows"].append(time.perf_counter() - started)
    rows.catch_up_all()
    ratios = [dense / by_rows for dense, by_rows in zip(seconds["dense"][2:], seconds["rows"][2:], strict=True)]
    medians = {side: statistics.median(values[2:]) for side, values in seconds.items()}
    return {
        "batch_size": batch_size,
        "rows": round(statistics.median(occurring)),
        "milliseconds": {side: round(1e3 * value, 2) for side, value in medians.items()},
        "ratio": round(statistics.median(ratios), 1),
        "largest_difference_in_rates": float(f"{(table - dense).abs().max().item() / RATE:.2g}"),
    }


def measure_step(model: str, pairs: Pairs, batch_size: int, rounds: int) -> dict[str, Any]:
    """Whole steps at one batch size: medians over the rounds, in milliseconds."""
    by_rows, step_by_rows = engine.our_step(model, "full", batch_size, pairs)
    dense, step_dense = engine.our_step(model, "full", batch_size, pairs)
    make_dense(dense)
    sides = {"dense": step_dense, "rows": step_by_rows}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    differences = []
    for number in range(rounds + 2):
        batch, losses = next(by_rows.order), []
        for side in list(sides)[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            losses.append(sides[side](batch))
            seconds[side].append(time.perf_counter() - started)
        differences.append(abs(losses[0] - losses[1]))
    ratios = [dense / by_rows for dense, by_rows in zip(seconds["dense"][2:], seconds["rows"][2:], strict=True)]
    return {
        "batch_size": batch_size,
        "milliseconds": {side: round(1e3 * statistics.median(values[2:]), 1) for side, values in seconds.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "largest_loss_difference": float(f"{max(differences):.2g}"),
    }


def make_dense(training: Training) -> None:
    """Let a training update its input embedding as it does any other parameter."""
    encoder = training.engine.encoder
    table_VH, encoder.table, training.rows = encoder.table, None, None
    assert table_VH is not None
    vars(encoder)["hidden"] = lambda chunk, rows_RH: functional.embedding(chunk.ids, table_VH, encoder.pad_row)
    training._trained = TrainedParameters(training.model, encoder.trained(), DECAY)


def token_ids(model: str, pairs: Pairs, batch_size: int, rounds: int) -> Iterator[Tensor]:
    """The tokens of the first batches of a run, one flat tensor a batch."""
    config = RunConfig(
        model=model, method="lora:8", train_flops=1e18, pairs=pairs.hash, batch_size=batch_size, learning_rate=RATE
    )
    training = Training(Job.of(config, pairs))
    for _ in range(rounds):
        texts = training.job.tokens.texts(next(training.order))
        yield torch.as_tensor(np.concatenate(texts), dtype=torch.int64)


if __name__ == "__main__":
    main()
