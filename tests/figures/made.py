"""Simulated tables for the figures."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from embudget.design import World, simulate
from embudget.laws.coefficients import Coefficients
from embudget.records import RunConfig, RunRecord
from embudget.runs import Cell, RunTable

LAW = Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)


def table_of(models: tuple[str, ...], methods: tuple[str, ...], budgets: tuple[float, ...]) -> RunTable:
    """A table of a run for each model, method and budget, all by one law."""
    world = World(truth=dict.fromkeys(methods, LAW), models=models, noise=0.01, budgets=budgets)
    return RunTable.of(simulate(world, 0))


def record_of(model: str = "smollm2-135m:1", method: str = "full", budget: float = 1e12, **values: Any) -> RunRecord:  # noqa: ANN401 - values of any field
    """The record of a run that is done, with some of its values; rate, seed and the like go into its configuration."""
    of_config = {
        name: values.pop(name) for name in list(values) if name in RunConfig.model_fields and name != "train_flops"
    }
    given = {"pairs": "made", "batch_size": 16, "learning_rate": 1e-3} | of_config
    config = RunConfig.model_validate(given | {"model": model, "method": method, "train_flops": budget})
    known = {"status": "done", "loss": 3.0, "train_flops": budget, "model_params": 1_000_000, "tokens": 1_000_000}
    return RunRecord.model_validate({"config": config} | known | values)


def scored_study(count: int = 24, tasks: int = 2) -> list[RunRecord]:
    """Runs of four methods at three budgets, whose scores fall with their loss."""
    methods, budgets = ("full", "freeze:0.5", "bias", "lora:8"), (1e12, 4e12, 1.6e13)
    rng = np.random.default_rng(0)
    found = []
    for row in range(count):
        loss = 4.0 - 0.4 * (row % 3) + 0.05 * (row // 3) + float(rng.normal(0, 0.02))
        scores = {f"Task{task}": 0.9 - 0.15 * loss + float(rng.normal(0, 0.01)) for task in range(tasks)}
        found.append(
            record_of(
                f"smollm2-135m:{row // 3 % 8 + 1}", methods[row % 4], budgets[row % 3], loss=loss, seed=row,
                ndcg=1 - loss / 6, scores=scores, loss_curve=curve_to(loss - 2), seconds=2.0 + row, shared_flops=0.0,
            )
        )  # fmt: skip
    return found


def cost_study() -> list[RunRecord]:
    """Runs of three members with four methods at three budgets, dearer and slower for some, two of them lost."""
    lost = {"status": "failed", "loss": None, "train_flops": None}
    found = [
        record_of(
            f"smollm2-135m:{member}",
            method,
            budget,
            seed=seed,
            model_params=1000 * member,
            seconds=budget / 1e11 * (2 if method == "bias" else 1),
        )
        for member in (1, 4, 12)
        for method in ("full", "freeze:0.5", "bias", "lora:8")
        for budget in (1e12, 4e12, 1.6e13)
        for seed in range(2 if member == 4 else 1)
        if (member, budget) != (12, 1e12)
    ]
    return [*found, *(record_of("smollm2-135m:12", "full", 4e12, seed=seed, **lost) for seed in (8, 9))]


def curve_to(end: float, points: int = 60) -> tuple[tuple[float, float], ...]:
    """A noisy curve of training that falls to a loss."""
    shares = np.linspace(1 / points, 1, points)
    noise = np.random.default_rng(points).normal(0, 0.2, points)
    return tuple(zip(shares.tolist(), np.maximum(end + (1 - shares) ** 2 + noise, 0.05).tolist(), strict=True))


def without(table: RunTable, *left_out: tuple[str, str, float]) -> RunTable:
    """The table without some cells, given by model, method and budget."""
    return with_cells(
        table, [cell for cell in table.cells if (cell.model, cell.method, cell.budget) not in set(left_out)]
    )


def with_cells(table: RunTable, cells: list[Cell]) -> RunTable:
    """The table with other cells."""
    values = {name: getattr(table, name) for name in RunTable.model_fields}
    return RunTable(**values | {"cells": tuple(cells), "groups": None})


def xs(line: Line2D) -> list[float]:
    """The x of a line's points."""
    return [float(x) for x in np.asarray(line.get_xdata(), dtype=float)]


def ys(line: Line2D) -> list[float]:
    """The y of a line's points."""
    return [float(y) for y in np.asarray(line.get_ydata(), dtype=float)]


def crosses(axes: Axes) -> list[float]:
    """The x of all marks of missing cells, from the lowest row."""
    return [x for line in axes.get_lines() if line.get_label() == "_missing" for x in xs(line)]


def points(axes: Axes, marker: str) -> list[tuple[float, float, bool]]:
    """The x, y and openness of all points with a marker."""
    found = []
    for line in axes.get_lines():
        if line.get_marker() == marker and line.get_label() != "_missing":
            is_open = line.get_markerfacecolor() == "white"
            found += [(x, y, is_open) for x, y in zip(xs(line), ys(line), strict=True)]
    return found
