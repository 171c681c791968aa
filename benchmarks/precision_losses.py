"""Do runs in bf16 end at other losses than runs in float32? The same cells and seeds in both, on one yardstick.

    .venv/bin/python -m benchmarks.precision_losses --pairs quickstart/pairs --out results/precision/losses.json \
        --cells "minilm-l6 full=5e-5" "smollm2-135m:4 lora:32=4e-3" \
        --budget 1e12

Of each cell: the held-out losses by seed, the mean of the differences between runs of the same seed with its standard
error, and the spread of float32's seeds, beside which a difference may be called noise.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import provenance
from benchmarks.precision import PRECISIONS
from embudget.files import write_whole
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig
from embudget.training.run import train
from embudget.training.yardstick import counts_for

CELLS = ("micro-200k full=3e-3", "micro-200k freeze:0.5=3e-3", "micro-200k lora:8=1e-2")


def main() -> None:
    """Train, compare and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", default=CELLS, metavar="'MODEL METHOD=RATE'")
    parser.add_argument("--budget", type=float, default=4e10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3, help="two or more, since their spread is the error")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    cells = []
    for cell in options.cells:
        model, method, rate = re.split("[ =]", cell)
        cells.append(compare(model, method, float(rate), options.budget, options.batch_size, options.seeds, pairs))
        sys.stdout.write(json.dumps(cells[-1]) + "\n")
        sys.stdout.flush()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        result = {"threads": torch.get_num_threads(), "torch": torch.__version__, "cells": cells} | provenance()
        write_whole(options.out, json.dumps(result, indent=1) + "\n")


def compare(
    model: str, method: str, rate: float, budget: float, batch_size: int, seeds: int, pairs: Pairs
) -> dict[str, Any]:
    """One cell in both precisions."""
    losses: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    seconds = dict.fromkeys(PRECISIONS, 0.0)
    steps = 0
    eval_pairs, eval_candidates = counts_for(pairs)
    for seed in range(seeds):
        for precision in PRECISIONS:
            config = RunConfig(
                model=model, method=method, train_flops=budget, pairs=pairs.hash, batch_size=batch_size,
                learning_rate=rate, seed=seed, precision=precision, eval_pairs=eval_pairs,
                eval_candidates=eval_candidates,
            )  # fmt: skip
            started = time.perf_counter()
            record = train(config, pairs, with_record=True)[1]
            seconds[precision] += time.perf_counter() - started
            assert record.loss is not None and record.steps is not None
            losses[precision].append(record.loss)
            steps = record.steps
    differences = [low - exact for exact, low in zip(losses["float32"], losses["bf16"], strict=True)]
    return {
        "model": model,
        "method": method,
        "train_flops": budget,
        "steps": steps,
        "losses_nats": {name: [round(loss, 4) for loss in found] for name, found in losses.items()},
        "mean_difference_nats": round(statistics.fmean(differences), 4),
        "error_of_it": round(statistics.stdev(differences) / math.sqrt(seeds), 4),
        "spread_of_seeds": round(statistics.stdev(losses["float32"]), 4),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


if __name__ == "__main__":
    main()
