"""Simulated tables for the figures."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from embudget.design import World, simulate
from embudget.laws.coefficients import Coefficients
from embudget.runs import Cell, RunTable

LAW = Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)


def table_of(models: tuple[str, ...], methods: tuple[str, ...], budgets: tuple[float, ...]) -> RunTable:
    """A table of a run for each model, method and budget, all by one law."""
    world = World(truth=dict.fromkeys(methods, LAW), models=models, noise=0.01, budgets=budgets)
    return RunTable.of(simulate(world, 0))


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
