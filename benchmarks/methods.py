"""Tokens per second of each method, on one model and one stream of pairs, the methods in turn.

    .venv/bin/python benchmarks/methods.py --pairs quickstart/pairs --out results/speed/methods.json

Each round trains every method for the same number of tokens; the medians over the rounds are printed and written, with
the algorithmic FLOP/s that they amount to. Compare methods within one run of this program only: machines drift.
"""

import argparse
import json
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from embudget.files import write_whole
from embudget.methods import parse_method
from embudget.pairs import load_pairs
from embudget.records import RunConfig
from embudget.suite import find_shape
from embudget.training.run import train


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m:4")
    parser.add_argument("--methods", nargs="+", default=["full", "freeze:0.5", "lora:32"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tokens", type=float, default=2e4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    speeds = measure(options)
    shape = find_shape(options.model)
    result = {
        "command": " ".join(["benchmarks/methods.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "model": options.model,
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "methods": {
            method: {
                "tokens_per_second": round(statistics.median(values)),
                "all": [round(value) for value in values],
                "gflops_per_second": round(
                    statistics.median(values) * parse_method(method).flops_per_token(shape) / 1e9, 1
                ),
            }
            for method, values in speeds.items()
        },
    }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, text + "\n")


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Tokens per second of each method in each round; a first round warms up and is not counted."""
    pairs, shape = load_pairs(options.pairs), find_shape(options.model)
    speeds: dict[str, list[float]] = {method: [] for method in options.methods}
    for round_number in range(options.rounds + 1):
        for method in options.methods:
            config = RunConfig(
                model=options.model,
                method=method,
                train_flops=options.tokens * parse_method(method).flops_per_token(shape),
                pairs=pairs.hash,
                batch_size=options.batch_size,
                learning_rate=1e-4,
                seed=round_number,
                eval_pairs=2,
                eval_candidates=2,
            )
            record = train(config, pairs, with_record=True)[1]
            assert record.tokens is not None and record.seconds is not None
            if round_number > 0:
                speeds[method].append(record.tokens / record.seconds)
    return speeds


if __name__ == "__main__":
    main()
