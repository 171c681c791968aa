"""Where the time of a training step goes, ours and plain sentence-transformers', and what bounds their ratio.

    .venv/bin/python -m benchmarks.step_profile --pairs quickstart/pairs --out results/speed/step_profile.json

Per cell both sides run on the same batches in turn, first by the clock, then under torch's profiler, whose self times
are summed by kind of operation. `bound` is the ratio that a step of ours would reach if everything but its matrix
products and attention took no time at all.
"""

import argparse
import json
import platform
import re
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import engine
from embudget.files import write_whole
from embudget.pairs import Pairs, load_pairs

CELLS = [
    ("neox", "full", 16),
    ("neox", "freeze:0.5", 16),
    ("smollm2-135m:4", "full", 16),
    ("smollm2-135m:4", "freeze:0.5", 16),
    ("smollm2-135m:4", "lora:32", 16),
    ("smollm2-135m:4", "freeze:0.5", 128),
]

KINDS = {
    "matrix products": r"aten::(mm|addmm|bmm|baddbmm)$",
    "attention": r"aten::_(scaled_dot_product|flash_attention|efficient_attention)",
    "optimiser": r"aten::_fused_adamw|aten::_foreach|Optimizer|aten::linalg_vector_norm",
    "copies": r"aten::(copy_|cat|_to_copy|index|index_put|index_select|_index_put_impl_|embedding.*|fill_|zero_)",
}
"""Names of torch's operations; all others are element-wise work."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = load_pairs(options.pairs)
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        for model, method, batch_size in CELLS:
            name = engine.make_neox(Path(folder) / "neox") if model == "neox" else model
            cell = {"model": model} | measure(name, method, batch_size, pairs, options.rounds)
            cells.append(cell)
            sys.stdout.write(json.dumps(cell) + "\n")
            sys.stdout.flush()
    result = {
        "command": shlex.join([".venv/bin/python", *sys.orig_argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "cells": cells,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.out, json.dumps(result, indent=1) + "\n")


def measure(model: str, method: str, batch_size: int, pairs: Pairs, rounds: int) -> dict[str, Any]:
    """Milliseconds a step, and shares by kind, of both sides."""
    training, ours = engine.our_step(model, method, batch_size, pairs)
    theirs = engine.their_step(model, method, pairs.table("train"), {})
    batches = [next(training.order) for _ in range(rounds + 2)]
    for batch in batches[:2]:
        theirs(batch)
        ours(batch)
    sides = {"theirs": theirs, "ours": ours}
    seconds = dict.fromkeys(sides, 0.0)
    parts: dict[str, dict[str, float]] = {side: {} for side in sides}
    for batch in batches[2:]:
        for side, step in sides.items():
            started = time.perf_counter()
            step(batch)
            seconds[side] += time.perf_counter() - started
    for batch in batches[2:]:
        for side, step in sides.items():
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                step(batch)
            for event in profiled.key_averages():
                kind = next((kind for kind, names in KINDS.items() if re.match(names, event.key)), "element-wise")
                if event.key.startswith("aten::"):
                    parts[side][kind] = parts[side].get(kind, 0.0) + event.self_cpu_time_total / 1e6
    report = {}
    for side in sides:
        whole = sum(parts[side].values())
        shares = {kind: round(value / whole, 3) for kind, value in sorted(parts[side].items())}
        report[side] = {"milliseconds": round(1e3 * seconds[side] / rounds, 1), "shares": shares}
    needed = sum(parts["ours"].get(kind, 0.0) for kind in ("matrix products", "attention"))
    share = needed / sum(parts["ours"].values())
    return {
        "method": method,
        "batch_size": batch_size,
        "step": report,
        "ratio": round(seconds["theirs"] / seconds["ours"], 2),
        "bound": round(seconds["theirs"] / (seconds["ours"] * share), 2),
    }


if __name__ == "__main__":
    main()
