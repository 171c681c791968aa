"""How long does a table of 100,000 runs take, and how much memory? Read, checked and fitted in a process of its own.

Two tables, each as CSV and as Parquet:

    distinct    every run has its own tokens, hence is a cell of its own: 40 sizes x 7 methods, no budgets given
    grid        10 sizes x 7 methods x 8 budgets, with learning rates and repeated seeds: few cells, many runs of each

One row in 200 has no loss, one in 200 failed, one in 200 is there twice. Peak memory is `ru_maxrss`, the imports
included. A process inherits its parent's peak over exec, so the table is written in yet another process.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from embudget.laws import Coefficients

Result = TypeVar("Result")
KINDS = ("distinct", "grid")
SUFFIXES = ("parquet", "csv")
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
NOISE = 0.01


def measure(rows: int, folder: Path, truth: dict[str, Coefficients]) -> dict[str, dict[str, float]]:
    """Table and format -> seconds and peak memory."""
    measured = {}
    for kind in KINDS:
        in_own_process(write, kind, rows, folder, truth)
        for suffix in SUFFIXES:
            measured[f"{kind} {suffix}"] = in_own_process(read_and_fit, folder / f"{kind}.{suffix}")
    return measured


def in_own_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new interpreter."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def write(kind: str, rows: int, folder: Path, truth: dict[str, Coefficients]) -> None:
    """Write the table in both formats."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    rng = np.random.default_rng(KINDS.index(kind))
    columns = _distinct(rows, rng, truth) if kind == "distinct" else _grid(rows, rng, truth)
    columns["loss"] *= np.exp(NOISE * rng.standard_normal(rows))
    columns["loss"][rng.random(rows) < 1 / 200] = np.nan
    columns["status"] = np.where(rng.random(rows) < 1 / 200, "failed", "done")
    again = np.flatnonzero(rng.random(rows) < 1 / 200)
    for values in columns.values():
        values[again] = values[again - 1]
    table = pa.table(columns)
    pq.write_table(table, folder / f"{kind}.parquet")
    pc.write_csv(table, folder / f"{kind}.csv")


def _distinct(rows: int, rng: np.random.Generator, truth: dict[str, Coefficients]) -> dict[str, Any]:
    size = rng.choice(np.geomspace(1e6, 1e10, 40).round(), rows)
    tokens = (size * np.exp(rng.uniform(np.log(0.1), np.log(100), rows))).round()
    method = rng.choice(list(truth), rows)
    loss = _losses(truth, method, size, tokens)
    return {"method": method, "model_params": size, "tokens": tokens, "loss": loss}


def _grid(rows: int, rng: np.random.Generator, truth: dict[str, Coefficients]) -> dict[str, Any]:
    size = rng.choice(np.geomspace(1e6, 1e9, 10).round(), rows)
    budget = rng.choice(1e15 * 4.0 ** np.arange(8), rows)
    method = rng.choice(list(truth), rows)
    rate = rng.choice(RATES, rows)
    tokens = budget / (6 * size)
    loss = _losses(truth, method, size, tokens) * np.exp(0.01 * np.log(rate / 1e-3) ** 2)
    return {
        "method": method, "model_params": size, "tokens": tokens, "train_flops": budget, "budget": budget,
        "learning_rate": rate, "seed": np.arange(rows), "loss": loss,
    }  # fmt: skip


def _losses(truth: dict[str, Coefficients], method: Any, size: Any, tokens: Any) -> Any:  # noqa: ANN401 - arrays
    loss = np.empty(len(method))
    for name, law in truth.items():
        rows = method == name
        loss[rows] = law.E + law.A / size[rows] ** law.a + (law.B or 0.0) / tokens[rows] ** law.b
    return loss


def read_and_fit(path: Path) -> dict[str, float]:
    """Seconds of each step, CPU seconds of reading and fitting, peak memory in GB, and counts of what was found."""
    from embudget.laws import fit
    from embudget.runs import RunTable

    started, cpu = time.perf_counter(), time.process_time()
    table = RunTable.read(path)
    read = time.perf_counter()
    laws = fit(table)
    fitted, cpu = time.perf_counter(), time.process_time() - cpu
    laws.summary()
    summed = time.perf_counter()
    return {
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "runs": table.run_count,
        "left_out": sum(table.dropped.values()),
        "cells": len(table.cells),
        "read_and_check_seconds": round(read - started, 2),
        "fit_seconds": round(fitted - read, 2),
        "seconds": round(fitted - started, 2),
        "cpu_seconds": round(cpu, 2),
        "summary_seconds": round(summed - fitted, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
    }
