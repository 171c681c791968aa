"""A training step of embudget against one of plain sentence-transformers: same model, pairs, order, batch and update.

    .venv/bin/python benchmarks/engine.py --pairs quickstart/pairs --out results/speed/engine.json

Both sides start from the same weights and see the same batches in turn, so that each pair of steps shares the machine's
mood; what is compared is the median of the ratios of their times. A step is tokenising (theirs) or looking up tokens
(ours), loss, gradients, clipping and fused AdamW. sentence-transformers is taken at its best: of its symmetric
`MultipleNegativesRankingLoss`, and its cached loss over mini-batch sizes and `mini_batch_num_tokens`, whichever was the
fastest in a first round. Beside it stand the share of the rate that bare matrix products of the model's own shapes
reach on this machine. With `--precision float32 bf16` each cell is measured in both, theirs in bf16 under autocast;
what bf16 gains is in `benchmarks/precision.py`. `--models neox` is a GPT-NeoX of 1 M parameters with random weights,
which has biases.
"""

import argparse
import gc
import json
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch

from embudget.files import write_whole
from embudget.methods import parse_method
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig
from embudget.records.config import Precision
from embudget.suite import ModelShape, find_shape
from embudget.suite.loading import find_checkpoint, load_embedder, load_tokenizer
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.weight_decay import parameter_groups

SCALE, RATE, DECAY, LENGTH = 40.0, 1e-4, 0.1, 75
VARIANTS: dict[str, dict[str, int]] = {
    "plain": {},
    "cached, 32 texts": {"mini_batch_size": 32},
    "cached, 128 texts": {"mini_batch_size": 128},
    "cached, 2048 tokens": {"mini_batch_num_tokens": 2048},
    "cached, 8192 tokens": {"mini_batch_num_tokens": 8192},
}

Step = Callable[[list[int]], float]
"""Trains on the pairs in these rows; the loss in nats."""


def main() -> None:
    """Measure and report; each cell is written as it is done, and cells that are there are not done again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["neox", "smollm2-135m:4", "smollm2-135m:30"])
    parser.add_argument("--methods", nargs="+", default=["full", "freeze:0.5", "bias", "lora:32"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 128, 1024])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--precision", nargs="+", choices=["float32", "bf16"], default=["float32"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    cells: list[dict[str, Any]] = result.get("cells", [])
    done = {(cell["model"], cell["method"], cell["batch_size"], cell.get("precision", "float32")) for cell in cells}
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            name = make_neox(Path(folder) / "neox") if model == "neox" else model
            rates = {precision: matrix_rate(find_shape(name), precision) for precision in options.precision}
            for batch_size, method, precision in product(options.batch_sizes, options.methods, options.precision):
                cell_of = (model, method, batch_size, precision)
                if cell_of in done or (method == "bias" and not find_shape(name).has_biases):
                    continue
                setting = name, method, batch_size, precision
                cell = measure(*setting, pairs, options.rounds, rates[precision], options.variants)
                cells.append({"model": model} | cell | provenance())
                sys.stdout.write(json.dumps(cells[-1]) + "\n")
                sys.stdout.flush()
                save(options.out, cells)


def provenance() -> dict[str, str]:
    """The command that made a measurement, and the date."""
    command = shlex.join([".venv/bin/python", *sys.orig_argv[1:]])
    return {"command": command, "date": datetime.now(UTC).date().isoformat()}


def save(out: Path, cells: list[dict[str, Any]]) -> None:
    """Write what there is so far."""
    result = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "cells": cells,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(result, indent=1) + "\n")


def measure(
    model: str,
    method: str,
    batch_size: int,
    precision: Precision,
    pairs: Pairs,
    rounds: int,
    rate: float,
    variants: list[str],
) -> dict[str, Any]:
    """One cell: the best of theirs and ours in alternation."""
    training, ours = our_step(model, method, batch_size, pairs, precision)
    batches = [next(training.order) for _ in range(rounds + 2)]
    table = pairs.table("train")
    tokens = [sum(map(len, training.job.tokens.texts(batch))) for batch in batches]
    firsts, steps = {}, {}
    for variant in variants:
        steps[variant] = their_step(model, method, table, VARIANTS[variant], precision)
        steps[variant](batches[0])  # warm
        started = time.perf_counter()
        steps[variant](batches[1])
        firsts[variant] = time.perf_counter() - started
        if variant != min(firsts, key=lambda name: firsts[name]):
            del steps[variant]  # its memory
            gc.collect()
    best = min(firsts, key=lambda name: firsts[name])
    theirs = steps[best]
    ours(batches[0])
    ours(batches[1])
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    differences = []
    for number, batch in enumerate(batches[2:]):
        sides: list[tuple[str, Step]] = [("theirs", theirs), ("ours", ours)]
        losses = []
        for side, step in sides[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            losses.append(step(batch))
            seconds[side].append(time.perf_counter() - started)
        differences.append(abs(losses[0] - losses[1]))
    flops = parse_method(method).flops_per_token(find_shape(model))
    speeds = {side: [t / s for t, s in zip(tokens[2:], seconds[side], strict=True)] for side in seconds}
    ratios = [t / o for t, o in zip(seconds["theirs"], seconds["ours"], strict=True)]
    return {
        "method": method,
        "batch_size": batch_size,
        "precision": precision,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "best_of_theirs": best,
        "seconds_of_theirs": {name: round(value, 3) for name, value in firsts.items()},
        "tokens_per_second": {side: round(statistics.median(values)) for side, values in speeds.items()},
        "share_of_matrix_rate": {
            side: round(statistics.median(values) * flops / rate, 3) for side, values in speeds.items()
        },
        "matrix_gflops_per_second": round(rate / 1e9, 1),
        "largest_loss_difference": round(max(differences), 5),
        "cached": training.engine.cached,
    }


def our_step(
    model: str, method: str, batch_size: int, pairs: Pairs, precision: Precision = "float32"
) -> tuple[Training, Step]:
    """A step of embudget's training on given rows."""
    config = RunConfig(
        model=model, method=method, train_flops=1e18, pairs=pairs.hash, batch_size=batch_size, learning_rate=RATE,
        max_length=LENGTH, scale=SCALE, weight_decay=DECAY, precision=precision,
    )  # fmt: skip
    training = Training(Job.of(config, pairs))

    def step(rows: list[int]) -> float:
        training._drawn = rows
        return training.step(1.0)

    return training, step


def their_step(
    model: str,
    method: str,
    table: Any,  # noqa: ANN401 - pyarrow is untyped
    arguments: dict[str, int],
    precision: Precision = "float32",
) -> Step:
    """A step of sentence-transformers' on given rows, as its trainer does it."""
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )
    from sentence_transformers.util import batch_to_device
    from transformers import set_seed

    set_seed(0)
    embedder = load_embedder(model, LENGTH)
    parse_method(method).apply_to_embedder(embedder, find_shape(model))
    embedder.train()
    both: dict[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    kind = CachedMultipleNegativesRankingLoss if arguments else MultipleNegativesRankingLoss
    loss_of = kind(embedder, scale=SCALE, **both, **arguments)
    trained = [parameter for parameter in embedder.parameters() if parameter.requires_grad]
    named = [(name, value) for name, value in embedder.named_parameters() if value.requires_grad]
    groups = [group | {"lr": RATE} for group in parameter_groups(embedder, named, DECAY)]
    optimizer = torch.optim.AdamW(groups, fused=True)

    def step(rows: list[int]) -> float:
        texts = table.take(rows)
        made = [embedder.preprocess(texts[side].to_pylist()) for side in ("query", "positive")]
        columns = [batch_to_device(column, embedder.device) for column in made]
        with torch.autocast(embedder.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(columns, None)
        return updated(loss, trained, optimizer)

    return step


def updated(loss: torch.Tensor, trained: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> float:
    """Finish a step as one writes it by hand: backward, clipping, update; the loss."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


def make_neox(folder: Path) -> str:
    """A GPT-NeoX of 1 M parameters without embeddings, random weights, and SmolLM2's tokenizer."""
    from transformers import GPTNeoXConfig, GPTNeoXModel

    if not folder.exists():
        tokenizer = load_tokenizer("smollm2-135m")
        config = GPTNeoXConfig(
            vocab_size=len(tokenizer), hidden_size=144, intermediate_size=576, num_hidden_layers=4,
            num_attention_heads=4, max_position_embeddings=512,
        )  # fmt: skip
        torch.manual_seed(0)
        GPTNeoXModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    assert find_checkpoint(str(folder))
    return str(folder)


def matrix_rate(shape: ModelShape, precision: Precision = "float32", rows: int = 2048, rounds: int = 5) -> float:
    """FLOP/s of bare products of the model's own shapes: forward, and both of the backward pass."""
    rates = []
    for _ in range(rounds):
        flops = seconds = 0.0
        for linear in shape.linears:
            kind = torch.bfloat16 if precision == "bf16" else torch.float32
            inputs = torch.randn(rows, linear.inputs).to(kind)
            weight = torch.randn(linear.outputs, linear.inputs).to(kind)
            outputs = inputs @ weight.T
            started = time.perf_counter()
            for _ in range(3):
                torch.mm(inputs, weight.T)
                torch.mm(outputs, weight)
                torch.mm(outputs.T, inputs)
            seconds += time.perf_counter() - started
            flops += 3 * 3 * 2 * rows * linear.inputs * linear.outputs
        rates.append(flops / seconds)
    return statistics.median(rates)


if __name__ == "__main__":
    main()
