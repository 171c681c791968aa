r"""Peak memory of one training step, each in a process of its own.

    .venv/bin/python -m benchmarks.step_memory --pairs quickstart/pairs --cells neox:full:1024 neox:full:16384 \
        smollm2-135m:30:lora:32:1024 --out results/speed/step_memory.json

A cell is MODEL:METHOD:BATCH; `neox` is the 1 M model of `benchmarks/engine.py`. What is reported is the largest
resident set of the process (VmHWM), before the step (libraries, model, optimiser, tokens of a window) and after it, in
MB of 1e6 bytes, with the embeddings of the batch and their gradients, which grow with it. Cells that are in the file
already are not done again. glibc keeps freed memory, in pieces that chunks of other shapes cannot use; with
`--mmap-threshold 1000000` it returns all larger ones, which shows what a step needs, at some cost in speed.
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embudget.files import write_whole

CELL = re.compile(r"(?P<model>.+):(?P<method>full|bias|freeze:[0-9.]+|lora:[0-9]+):(?P<batch_size>[0-9]+)")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", required=True)
    parser.add_argument("--cache", choices=["auto", "always", "never"], default="always")
    parser.add_argument("--mmap-threshold", type=int, help="bytes; glibc's own, which grows, by default")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.mmap_threshold:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(options.mmap_threshold)  # read as a process starts
    cells: dict[str, Any] = json.loads(options.out.read_text())["cells"] if options.out.exists() else {}
    for text in options.cells:
        name = f"{text}, mmap threshold {options.mmap_threshold}" if options.mmap_threshold else text
        if name in cells:
            continue
        found = CELL.fullmatch(text)
        if found is None:
            parser.error(f"a cell is MODEL:METHOD:BATCH, got {text!r}")
        here, there = multiprocessing.get_context("spawn").Pipe()
        arguments = (there, found["model"], found["method"], int(found["batch_size"]), options.pairs, options.cache)
        process = multiprocessing.get_context("spawn").Process(target=step, args=arguments)
        process.start()
        there.close()
        command = shlex.join([".venv/bin/python", *sys.orig_argv[1:]])
        cells[name] = here.recv() | {"command": command, "date": datetime.now(UTC).date().isoformat()}
        process.join()
        sys.stdout.write(f"{name}: {json.dumps(cells[name])}\n")
        sys.stdout.flush()
        result = {
            "machine": platform.processor() or platform.machine(),
            "cells": cells,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, json.dumps(result, indent=1) + "\n")


def step(connection: Any, model: str, method: str, batch_size: int, folder: Path, cache: str) -> None:  # noqa: ANN401
    """One step in this process; sends what it took."""
    from benchmarks import engine
    from embudget.pairs import load_pairs
    from embudget.records import RunConfig
    from embudget.training.job import Job
    from embudget.training.loop import Training
    from embudget.training.resources import Resources

    pairs = load_pairs(folder)
    with tempfile.TemporaryDirectory() as made:
        name = engine.make_neox(Path(made) / "neox") if model == "neox" else model
        config = RunConfig(
            model=name, method=method, train_flops=1e18, pairs=pairs.hash, batch_size=batch_size,
            learning_rate=engine.RATE, max_length=engine.LENGTH,
        )  # fmt: skip
        training = Training(Job.of(config, pairs, Resources(cache)))  # type: ignore[arg-type]
        tokens = training.next_tokens()
        before, started = peak_mb(), time.perf_counter()
        training.step(1.0)
        seconds = time.perf_counter() - started
        embeddings = 2 * 4 * 2 * batch_size * training.engine.encoder.hidden_size / 1e6
        connection.send(
            {
                "tokens": tokens, "before_mb": before, "after_mb": peak_mb(), "embeddings_mb": round(embeddings),
                "seconds": round(seconds, 1), "cached": training.engine.cached,
            }
        )  # fmt: skip


def peak_mb() -> int:
    """Largest resident set of this process so far, MB."""
    status = Path("/proc/self/status").read_text()
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return round(kibibytes * 1024 / 1e6)


if __name__ == "__main__":
    main()
