"""How fast are steps here, ours and those of plain sentence-transformers, and how much memory do ours take?

    python -m benchmarks.gpu.speed --out results/gpu

Models of Pythia's sizes with random weights train in bf16 on docstrings cut at 75 tokens. A cell is a model, a method
and a batch; it says

    tokens_per_second   ours as training goes, ours with larger chunks, and the fastest of theirs (`VARIANTS`), by the
                        median of steps that take turns; a step of theirs tokenises its texts, ours looks tokens up
    mfu                 algorithmic FLOP/s over the peak of the data sheet; and over what a bare product reaches here
    memory              peak of a step, with gradients cached and without, beside the estimate of `embudget.memory`

Each cell is written into OUT/speed.json as it is done, one that fails with its reason. Cells that are not done when the
time is up are left out.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import LENGTH, Step, our_step, their_step
from benchmarks.gpu.device import device, device_name, peak_bytes_of, product_rate, published_peak, seconds_of
from benchmarks.gpu.material import installed_pairs, random_model
from embudget.errors import EmbudgetError, first_line
from embudget.files import write_whole
from embudget.memory import BF16_BYTES, CHUNK_TOKENS, activation_bytes, training_bytes
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.suite import find_shape
from embudget.training.loop import Training

VARIANTS: dict[str, dict[str, int]] = {
    "plain": {},
    "cached, 128 texts": {"mini_batch_size": 128},
    "cached, 16384 tokens": {"mini_batch_num_tokens": 16384},
}
"""Ways in which sentence-transformers computes the symmetric loss: whole, or with cached gradients."""
CHUNKS = (8192, 32768)
"""Padded tokens of larger chunks than `CHUNK_TOKENS`, to see whether that is too few for a GPU."""
CLOSE = 0.15
"""The estimate of memory is meant to be this near to the peak, as a share of it."""


def main() -> None:
    """Measure each cell until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["pythia-160m", "pythia-410m"])
    parser.add_argument("--methods", nargs="+", default=["full", "freeze:0.5", "lora:32"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1024, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=200.0, help="after which no further cell is begun")
    parser.add_argument("--packages", nargs="+", help="whose docstrings are the pairs; by default all of the source's")
    parser.add_argument("--work", type=Path, help="folder of models and pairs, kept for other parts")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    ended = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        pairs = installed_pairs(work / "pairs", *([tuple(options.packages)] if options.packages else []))
        rate = product_rate()
        cells: list[dict[str, Any]] = []
        result = {
            "device": device_name(),
            "date": datetime.now(UTC).date().isoformat(),
            "torch": torch.__version__,
            "published_tflops": _tera(published_peak(device_name())),
            "product_tflops": _tera(rate),
            "cells": cells,
        }
        for batch_size, model, method in product(options.batch_sizes, options.models, options.methods):
            cell: dict[str, Any] = {"model": model, "method": method, "batch_size": batch_size}
            if time.monotonic() > ended:
                cell["left_out"] = "the time was up"
            else:
                try:
                    name = random_model(model, work)
                    cell |= measure(name, method, batch_size, pairs, options.rounds, rate)
                except (EmbudgetError, RuntimeError, ValueError) as error:  # one cell must not end the others
                    cell["error"] = f"{type(error).__name__}: {first_line(error)}"
                _forget()
            cells.append(cell)
            sys.stdout.write(json.dumps(cell) + "\n")
            sys.stdout.flush()
            options.out.mkdir(parents=True, exist_ok=True)
            write_whole(options.out / "speed.json", json.dumps(result, indent=1) + "\n")


def measure(model: str, method: str, batch_size: int, pairs: Pairs, rounds: int, rate: float) -> dict[str, Any]:
    """One cell.

    Args:
        model: a folder.
        method: as a user writes it.
        batch_size: pairs.
        pairs: of which there are ``rounds`` + 2 batches.
        rounds: steps that are timed.
        rate: FLOP/s of a bare product here.
    """
    training, ours = our_step(model, method, batch_size, pairs, "bf16")
    batches = list(islice(training.order, rounds + 2))
    if len(batches) < rounds + 2:
        raise RuntimeError(f"there are pairs for {len(batches)} batches only, of the {rounds + 2} that are needed")
    tokens = [training.job.tokens.batch(batch).tokens for batch in batches]
    cached_by_itself = training.engine.cached
    memory = memory_of(training, ours, batches[0], tokens[0])
    chunks = {CHUNK_TOKENS: (cached_by_itself, 0.0)}
    training.engine.cached = cached_by_itself
    for size in (CHUNK_TOKENS, *CHUNKS):
        training.engine.chunk_tokens = size
        ours(batches[0])
        chunks[size] = training.engine.cached, tokens[1] / seconds_of(lambda: ours(batches[1]))
    fastest = max(chunks, key=lambda size: chunks[size][1])
    variant, theirs, tried = fastest_of_theirs(model, method, batches, pairs)

    def at(size: int) -> None:
        training.engine.chunk_tokens, training.engine.cached = size, cached_by_itself

    seconds: dict[str, list[float]] = {"theirs": [], "ours": [], "ours, larger chunks": []}
    for number, batch in enumerate(batches[2:]):
        for side in list(seconds)[:: -1 if number % 2 else 1]:
            at(fastest if side == "ours, larger chunks" else CHUNK_TOKENS)
            step = theirs if side == "theirs" else ours
            seconds[side].append(seconds_of(lambda step=step, batch=batch: step(batch)))  # type: ignore[misc]
    speeds = {
        side: statistics.median(count / taken for count, taken in zip(tokens[2:], seconds[side], strict=True))
        for side in seconds
    }
    flops = parse_method(method).flops_per_token(find_shape(model))
    peak = published_peak(device_name())
    return {
        "tokens_per_step": round(statistics.mean(tokens)),
        "cached": cached_by_itself,
        "ratio": round(speeds["ours"] / speeds["theirs"], 2),
        "tokens_per_second": {side: round(speed) for side, speed in speeds.items()},
        "best_of_theirs": variant,
        "theirs_tried": tried,
        "best_chunk_tokens": fastest,
        "chunk_tokens_per_second": {str(size): round(speed) for size, (_, speed) in chunks.items()},
        "mfu": None if peak is None else {side: round(flops * speed / peak, 3) for side, speed in speeds.items()},
        "share_of_product_rate": {side: round(flops * speed / rate, 3) for side, speed in speeds.items()},
        "memory": memory,
    }


def fastest_of_theirs(
    model: str, method: str, batches: list[list[int]], pairs: Pairs
) -> tuple[str, Step, dict[str, float | str]]:
    """The way of sentence-transformers that takes its second step the fastest, and the seconds of each that it took.

    Raises:
        RuntimeError: none of them fits the memory.
    """
    best: tuple[float, str, Step] | None = None
    tried: dict[str, float | str] = {}
    for variant, arguments in VARIANTS.items():
        step = their_step(model, method, pairs.table("train"), arguments, "bf16")
        try:
            step(batches[0])
            taken = seconds_of(lambda step=step: step(batches[1]))  # type: ignore[misc]
            tried[variant] = round(taken, 4)
            if best is None or taken < best[0]:
                best = taken, variant, step
        except torch.OutOfMemoryError:
            tried[variant] = "out of memory"
        del step  # the next one needs its memory
        _forget()
    if best is None:
        raise RuntimeError("sentence-transformers is out of memory in every way that was tried")
    return best[1], best[2], tried


def memory_of(training: Training, step: Step, batch: list[int], tokens: int) -> dict[str, dict[str, Any]]:
    """Peak of a step beside its estimate, with gradients cached and, if that fits, of the whole batch at once."""
    job = training.job
    found: dict[str, dict[str, Any]] = {}
    step(batch)  # makes the optimiser's moments
    for way, cached in (("cached", True), ("direct", False)):
        training.engine.cached, training.engine.chunk_tokens = cached, CHUNK_TOKENS
        peak = peak_bytes_of(lambda: step(batch))
        if training.engine.cached is not cached:  # it did not fit
            found[way] = {"out_of_memory": True}
            continue
        estimate = training_bytes(job.method, job.shape, job.config.batch_size, LENGTH)
        if not cached:
            whole, chunk = max(tokens, CHUNK_TOKENS), max(CHUNK_TOKENS, LENGTH)
            estimate += activation_bytes(job.method, job.shape, whole - chunk, BF16_BYTES)
        ratio = estimate / peak
        found[way] = {
            "peak_gb": round(peak / 1e9, 3),
            "estimate_gb": round(estimate / 1e9, 3),
            "estimate_over_peak": round(ratio, 3),
            "close": abs(ratio - 1) <= CLOSE,
        }
    return found


def _forget() -> None:
    """Give back the memory of what is no longer used."""
    gc.collect()
    if device().type == "cuda":
        torch.cuda.empty_cache()


def _tera(flops: float | None) -> float | None:
    return None if flops is None else float(f"{flops / 1e12:.3g}")


if __name__ == "__main__":
    main()
