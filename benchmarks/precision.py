"""What bf16 gains on this machine: a step of embudget and one of plain transformers, each in float32 and in bf16.

    .venv/bin/python -m benchmarks.precision --pairs quickstart/pairs --models smollm2-135m:8 \
        --out results/speed/precision.json

All sides take the same batches in turn, so that they share the machine's mood; a gain is the median of the ratios of
float32's time to bf16's:

    products       bare products of the model's linear layers and attention, as `precision: auto` times them
    plain          transformers' model on the queries and on the positives, mean pooling, the symmetric loss, clipping
                   and fused AdamW, under torch.autocast: what bf16 gains where nothing is cut into chunks
    each chunk     embudget's step under autocast, which casts every weight again for every chunk
    ours           embudget's step, whose weights are cast once

Beside OUT stands what torch's profiler says of our step in either precision: the operations that take most of the time.
"""

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from benchmarks.engine import DECAY, LENGTH, RATE, SCALE, Step, our_step, provenance, updated
from embudget.files import write_whole
from embudget.methods import parse_method
from embudget.pairs import Pairs, load_pairs
from embudget.records.config import Precision
from embudget.suite import find_shape
from embudget.suite.loading import load_embedder
from embudget.training.loop import Training
from embudget.training.precision import bf16_speedup

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["smollm2-135m:8"])
    parser.add_argument("--methods", nargs="+", default=["full", "freeze:0.5", "lora:32"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="not the clock's: on one thread of a busy machine")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    clock = time.process_time if options.cpu_time else time.perf_counter
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cells, profiles = [], []
    for model in options.models:
        for method in options.methods:
            for batch_size in options.batch_sizes:
                cell, tables = measure(model, method, batch_size, pairs, options.rounds, clock)
                cells.append(cell | provenance())
                profiles += tables
                sys.stdout.write(json.dumps(cells[-1]) + "\n")
                sys.stdout.flush()
                machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
                result = {"machine": machine, "torch": torch.__version__, "cells": cells}
                write_whole(options.out, json.dumps(result, indent=1) + "\n")
                write_whole(options.out.with_suffix(".profile.txt"), "\n".join(profiles))


def measure(
    model: str, method: str, batch_size: int, pairs: Pairs, rounds: int, clock: Callable[[], float]
) -> tuple[dict[str, Any], list[str]]:
    """One cell, and the profiles of our step."""
    sides: dict[tuple[str, Precision], Step] = {}
    for precision in PRECISIONS:
        training, sides["ours", precision] = our_step(model, method, batch_size, pairs, precision)
        sides["plain", precision] = plain_step(model, method, training, precision)
    chunkwise, sides["each chunk", "bf16"] = our_step(model, method, batch_size, pairs, "bf16")
    chunkwise.engine.weights = None
    batches = [next(training.order) for _ in range(rounds + 2)]
    seconds: dict[tuple[str, Precision], list[float]] = {side: [] for side in sides}
    losses: dict[tuple[str, Precision], float] = {}
    for number, batch in enumerate(batches):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            started = clock()
            losses[side] = sides[side](batch)
            if number >= 2:  # warm
                seconds[side].append(clock() - started)

    def gain(name: str, before: str) -> float:
        ratios = zip(seconds[before, "float32"], seconds[name, "bf16"], strict=True)
        return round(statistics.median(slow / fast for slow, fast in ratios), 2)

    cell = {
        "model": model,
        "method": method,
        "batch_size": batch_size,
        "gains": {
            "products": round(bf16_speedup(find_shape(model), training.place.device), 2),
            "plain": gain("plain", "plain"),
            "each chunk": gain("each chunk", "ours"),
            "ours": gain("ours", "ours"),
        },
        "milliseconds": {
            f"{name}, {precision}": round(1e3 * statistics.median(times), 1)
            for (name, precision), times in seconds.items()
        },
        "last_losses": {f"{name}, {precision}": round(loss, 4) for (name, precision), loss in losses.items()},
    }
    title = f"{model}, {method}, {batch_size} pairs"
    tables = [f"{title}, {precision}\n{table(sides['ours', precision], batches[-1])}\n" for precision in PRECISIONS]
    del sides, training, chunkwise
    gc.collect()  # before the next cell's models
    return cell, tables


def table(step: Step, batch: list[int], rows: int = 15) -> str:
    """The operations in which a step spends most time by itself, as torch's profiler writes them."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
    with profile(activities=activities) as profiled:
        step(batch)
    device = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    return str(profiled.key_averages().table(sort_by=device, row_limit=rows, max_name_column_width=40))


def plain_step(model: str, method: str, training: Training, precision: Precision) -> Step:
    """A step as one writes it with transformers alone, on the tokens that embudget's training has for these rows."""
    device = training.place.device
    bare = load_embedder(model, LENGTH)[0].model
    transformer = parse_method(method).apply(bare, find_shape(model)).to(device).train()
    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, RATE, weight_decay=DECAY, fused=True)

    def embed(texts: list[Any]) -> torch.Tensor:
        length = max(map(len, texts))
        ids_TL, mask_TL = torch.zeros(2, len(texts), length, dtype=torch.long)
        for row, text in enumerate(texts):
            ids_TL[row, : len(text)] = torch.from_numpy(text.astype("int64"))
            mask_TL[row, : len(text)] = 1
        ids_TL, mask_TL = ids_TL.to(device), mask_TL.to(device)
        states_TLH = transformer(input_ids=ids_TL, attention_mask=mask_TL, use_cache=False).last_hidden_state
        return functional.normalize((states_TLH * mask_TL[..., None]).sum(dim=1), dim=-1)

    def step(rows: list[int]) -> float:
        batch = training.job.tokens.batch(rows)
        ends = [0, batch.pairs, 2 * batch.pairs]
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            queries_BE, positives_BE = (embed(batch.texts[begin:end]).float() for begin, end in pairwise(ends))
        scores_BB = SCALE * queries_BE @ positives_BE.T
        right_B = torch.arange(len(rows), device=device)
        loss = (functional.cross_entropy(scores_BB, right_B) + functional.cross_entropy(scores_BB.T, right_B)) / 2
        return updated(loss, trained, optimizer)

    return step


if __name__ == "__main__":
    main()
