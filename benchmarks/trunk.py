"""One trunk for all budgets of a setting against a cosine run for each: the loss, the FLOP and the law's intervals.

    .venv/bin/python benchmarks/trunk.py --pairs quickstart/pairs --out results/trunk

Two kinds of study with the same members, method, batch and seeds: cosine runs at three budgets 2 times apart, and
trunks that serve those and the budgets between them, each at several peak rates, since what suits the one need not suit
the other. Records come into `{out}/study.db` and, when all are there, into `{out}/records.jsonl`; what is there is not
done again. The comparison goes to `{out}/comparison.json`: the mean loss of each schedule and rate; per cell that of
either schedule at the rate whose mean is lowest, and their difference against the standard error that the seeds give
it; the FLOP of one study of each kind, and the mean width of the intervals of laws fitted to each.
"""

import argparse
import json
import math
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from embudget.flops import tokens_for
from embudget.laws import fit
from embudget.methods import parse_method
from embudget.pairs import load_pairs
from embudget.records import RunRecord
from embudget.study import Store, Study, SweepListener, plan, sweep
from embudget.suite import find_shape

BUDGETS = (4e11, 8e11, 1.6e12)
BETWEEN = (5.66e11, 1.13e12)
MEMBERS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4))
SEEDS = (0, 1, 2)


class Printed(SweepListener):
    """A line for each finished run."""

    def finished(self, record: RunRecord) -> None:
        """Print it."""
        config = record.config
        outcome = f"loss {record.loss:.4f}" if record.loss is not None else str(record.error)
        sys.stdout.write(
            f"{config.schedule} {config.learning_rate:g} {config.model} {config.train_flops:.3g} seed {config.seed}: "
        )
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()


def main() -> None:
    """Train what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--method", default="lora:32")
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-3, 4e-3], help="of the cosine runs")
    parser.add_argument("--trunk-rates", type=float, nargs="+", default=[2e-3, 4e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "pairs": options.pairs, "members": MEMBERS, "methods": [options.method], "seeds": options.seeds,
        "batch_size": options.batch_size,
    }  # fmt: skip
    budgets = {"cosine": BUDGETS, "wsd": tuple(sorted(BUDGETS + BETWEEN))}
    kinds = [(name, rate) for name in budgets for rate in (options.rates if name == "cosine" else options.trunk_rates)]
    studies = {
        (name, rate): Study(budgets=budgets[name], schedule=name, learning_rates={options.method: [rate]}, **shared)
        for name, rate in kinds
    }
    with Store(options.out / "study.db") as store:
        found = {kind: sweep(study, store, listener=Printed()) for kind, study in studies.items()}
    records = [record for kind in kinds for record in found[kind]]
    text = "".join(record.model_dump_json(exclude_none=True) + "\n" for record in records)
    write_whole(options.out / "records.jsonl", text)
    means = {kind: mean_loss(found[kind]) for kind in kinds}
    best = {name: min((kind for kind in kinds if kind[0] == name), key=lambda kind: means[kind]) for name in budgets}
    pairs = load_pairs(options.pairs)
    result = {
        "command": shlex.join([".venv/bin/python", *sys.orig_argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "mean_losses": [{"schedule": name, "rate": rate, "loss": round(means[name, rate], 4)} for name, rate in kinds],
        "rates": {name: kind[1] for name, kind in best.items()},
        "train_flops": {name: plan(studies[kind], pairs).train_flops for name, kind in best.items()},
        "cells": compare(found[best["cosine"]], found[best["wsd"]]),
        "mean_interval_width": {name: width(found[kind], options.method) for name, kind in best.items()},
    }
    write_whole(options.out / "comparison.json", json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def mean_loss(records: Sequence[RunRecord]) -> float:
    """Over the cells that both kinds of study have; a run that diverged counts as chance, ln 512."""
    return statistics.mean(r.loss or math.log(512) for r in records if r.config.train_flops in BUDGETS)


def compare(cosine: Sequence[RunRecord], wsd: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Per cell that both have: mean losses over the seeds, their difference, and the standard error of it."""
    cells = []
    for model in MEMBERS:
        for budget in BUDGETS:
            losses = [
                [r.loss for r in records if r.config.model == model and r.config.train_flops == budget and r.loss]
                for records in (cosine, wsd)
            ]
            means = [statistics.mean(values) for values in losses]
            error = sum(statistics.variance(values) / len(values) for values in losses) ** 0.5
            cells.append(
                {
                    "model": model, "train_flops": budget, "cosine": round(means[0], 4), "wsd": round(means[1], 4),
                    "difference": round(means[1] - means[0], 4), "standard_error": round(error, 4),
                }
            )  # fmt: skip
    return cells


def width(records: Sequence[RunRecord], method: str) -> float:
    """Mean relative width of the law's 90 % intervals, at each member and budget and 4 times the largest."""
    laws = fit(list(records))
    widths = []
    for model in MEMBERS:
        for budget in (*BUDGETS, 4 * BUDGETS[-1]):
            shape, parsed = find_shape(model), parse_method(method)
            tokens = tokens_for(budget, parsed, shape)
            low, high = laws.interval(method, shape.model_params, tokens)
            widths.append((high - low) / laws.predict(method, shape.model_params, tokens))
    return round(statistics.mean(widths), 4)


if __name__ == "__main__":
    main()
