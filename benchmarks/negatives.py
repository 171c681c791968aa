"""Are mined hard negatives worth their tokens? Runs with 0, 1 and 4 of them at equal FLOP, over seeds.

    .venv/bin/python benchmarks/negatives.py --pairs quickstart/pairs --out results/negatives/micro.json

A model is trained on the pairs without negatives, and mines up to 4 of each training pair (`embudget pairs mine`). Then
the same member is trained from the start with k = 0, 1 and 4 of them, each with the same budgets and seeds: the tokens
of negatives are paid for with pairs that are not seen. What mining cost is given beside, and counted in none. The loss
is that of held-out pairs without negatives, the same for all k; a difference is paired by seed.
"""

import argparse
import json
import platform
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embudget.evaluation.mining import mine_negatives
from embudget.files import write_whole
from embudget.methods import parse_method
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.suite import find_shape
from embudget.training.run import train


def main() -> None:
    """Mine, train, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="micro-450k")
    parser.add_argument("--method", default="full")
    parser.add_argument("--budgets", type=float, nargs="+", default=[1e11])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--negatives", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--eval-pairs", type=int, default=512)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        base = train(config_of(options, pairs, max(options.budgets), 0, 0), pairs)
        base.save(f"{folder}/model")
        most = max(options.negatives)
        hard = mine_negatives(pairs, f"{folder}/model", f"{folder}/hard", negatives=most, margin=options.margin)
        assert hard.info.mined is not None
        result: dict[str, Any] = {
            "command": shlex.join([".venv/bin/python", *sys.orig_argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
            "pairs": {"hash": pairs.hash, "train": pairs.rows("train")},
            "mined": hard.info.mined.model_dump(),
        }
        cells = []
        for budget in options.budgets:
            losses: dict[int, list[float]] = {}
            for count in options.negatives:
                records = [run(options, hard, budget, count, seed) for seed in range(options.seeds)]
                losses[count] = [record.loss or float("nan") for record in records]
                first = records[0]
                cells.append({
                    "budget": budget, "negatives": count, "losses": losses[count],
                    "ndcg": [record.ndcg for record in records], "pairs_seen": first.pairs_seen, "steps": first.steps,
                    **compared(losses[count], losses[options.negatives[0]]),
                })  # fmt: skip
                sys.stdout.write(json.dumps(cells[-1]) + "\n")
                sys.stdout.flush()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        seconds = round(time.perf_counter() - started)
        write_whole(options.out, json.dumps(result | {"seconds": seconds, "cells": cells}, indent=1) + "\n")


def config_of(options: argparse.Namespace, pairs: Pairs, budget: float, negatives: int, seed: int) -> RunConfig:
    """One run, at the method's default rate."""
    return RunConfig(
        model=options.model,
        method=options.method,
        train_flops=budget,
        pairs=pairs.hash,
        batch_size=options.batch_size,
        learning_rate=parse_method(options.method).default_learning_rate(find_shape(options.model)),
        seed=seed,
        negatives=negatives,
        max_epochs=100,
        eval_pairs=options.eval_pairs,
        eval_candidates=min(512, options.eval_pairs),
    )


def run(options: argparse.Namespace, pairs: Pairs, budget: float, negatives: int, seed: int) -> RunRecord:
    """Train one run and measure it."""
    return train(config_of(options, pairs, budget, negatives, seed), pairs, with_record=True)[1]


def compared(losses: list[float], others: list[float]) -> dict[str, float]:
    """Mean loss, and its difference to the first number of negatives with a standard error, paired by seed; nats."""
    differences = np.array(losses) - np.array(others)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("nan")
    return {"loss": float(np.mean(losses)), "difference": float(differences.mean()), "error": error}


if __name__ == "__main__":
    main()
