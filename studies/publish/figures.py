"""The paper's figures for any study, from its fitted laws: frontier, isoFLOP curves, active fractions and ranks."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embudget.laws import Laws
from embudget.runs import Cell
from studies.publish.cells import (
    best_by_budget,
    best_by_size,
    kinds_of,
    member_text,
    number_of,
    number_text,
    numbers_of,
    plain_cells,
)

STYLES = {"full": ("#0072b2", "o"), "freeze": ("#d55e00", "s"), "bias": ("#cc79a7", "D"), "lora": ("#009e73", "^")}
"""Kind -> colour and marker: colour-blind safe (Okabe and Ito 2008), and told apart by shape too."""
COLOURS = mpl.colormaps["viridis"]
LABEL_POINTS = 8
"""Least distance between two labels' heights, in points: the font's 6.5 and its outline."""


def draw_frontier(laws: Laws, out: Path) -> None:
    """Draw the loss of the best cell of each kind of method against budget."""
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=160, layout="constrained")
    best = {kind: best_by_budget(laws, kind) for kind in kinds_of(laws)}
    for kind, cells in best.items():
        colour, marker = STYLES[kind]
        axes.plot(list(cells), [cell.loss for cell in cells.values()], marker + "-", color=colour, label=kind)
    axes.set(xscale="log", xlabel="budget, training FLOP", ylabel="best held-out contrastive loss, nats")
    axes.set_xticks(laws.table.budgets, [f"{budget:.3g}" for budget in laws.table.budgets])
    axes.minorticks_off()
    axes.margins(x=0.12, y=0.1)
    finish(axes)
    axes.legend(frameon=False)
    figure.draw_without_rendering()  # heights of points are known from here on
    for budget in laws.table.budgets:
        label_cells(axes, {kind: cells[budget] for kind, cells in best.items() if budget in cells})
    save_figure(figure, out)


def label_cells(axes: Axes, cells: dict[str, Cell]) -> None:
    """Write member and number at the points of a budget: below the lowest, above the highest, right of others."""
    kinds = sorted(cells, key=lambda kind: cells[kind].loss)
    between = kinds[1:-1]
    heights = [height(axes, cells[kind]) for kind in between]
    for kind, own, free in zip(between, heights, apart(heights), strict=True):
        label_cell(axes, cells[kind], kind, (7, free - own), "left", "center")
    if len(kinds) > 1:
        label_cell(axes, cells[kinds[-1]], kinds[-1], (0, 6), "center", "bottom")
    label_cell(axes, cells[kinds[0]], kinds[0], (0, -6), "center", "top")


def height(axes: Axes, cell: Cell) -> float:
    """The height at which a cell is drawn, in points."""
    return float(axes.transData.transform((cell.budget, cell.loss))[1]) * 72 / axes.figure.dpi


def apart(heights: list[float], least: float = LABEL_POINTS) -> list[float]:
    """Push heights, given from the lowest, up until each is at least ``least`` above the one before."""
    pushed = heights[:1]
    for own in heights[1:]:
        pushed.append(max(own, pushed[-1] + least))
    return pushed


def label_cell(axes: Axes, cell: Cell, kind: str, offset: tuple[float, float], across: str, along: str) -> None:
    """Write a cell's member and number beside its point, in the colour of its kind."""
    axes.annotate(
        f"{member_text(cell.model)}{number_text(cell, ', ')}",
        (cell.budget, cell.loss),
        offset,
        textcoords="offset points",
        fontsize=6.5,
        color=STYLES[kind][0],
        ha=across,
        va=along,
        path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
    )


def draw_isoflops(laws: Laws, out: Path) -> None:
    """Draw loss against size, a panel for each kind of method and in it a line for each budget."""
    kinds = kinds_of(laws)
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(4 * len(kinds) + 1, 4), dpi=160, layout="constrained", sharey=True, squeeze=False
    )
    for kind, axes in zip(kinds, panels[0], strict=True):
        cells_of = best_by_size(laws, kind)
        for budget, cells in cells_of.items():
            colour = COLOURS(laws.table.budgets.index(budget) / max(1, len(laws.table.budgets) - 0.5))
            sizes = sorted(cells)
            axes.plot(sizes, [cells[size].loss for size in sizes], "o-", color=colour, label=f"{budget:.3g} FLOP")
            for size in sizes:
                label = number_text(cells[size])
                axes.annotate(label, (size, cells[size].loss), (0, 5), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel="N, million parameters without embeddings", title=kind)
        sizes = sorted({size for cells in cells_of.values() for size in cells})
        axes.set_xticks(sizes, [f"{size / 1e6:.2g}" for size in sizes])
        axes.minorticks_off()
        finish(axes)
    panels[0][0].set_ylabel("held-out contrastive loss, nats")
    add_legend(figure)
    save_figure(figure, out)


def draw_choices(laws: Laws, out: Path) -> None:
    """Draw loss against active fraction and against rank, a row of panels each: a panel a budget, a line a size.

    Draws nothing where the study has one fraction and one rank only.
    """
    kinds = [kind for kind in ("freeze", "lora") if len(numbers_of(laws, kind)) > 1]
    if not kinds:
        return
    budgets = list(laws.table.budgets)
    figure, panels = plt.subplots(
        len(kinds), len(budgets), figsize=(3.6 * len(budgets) + 1, 3.4 * len(kinds)), dpi=160, layout="constrained",
        squeeze=False, sharex="row",
    )  # fmt: skip
    models = [model for _, model in sorted({(cell.model_params, cell.model) for cell in laws.cells})]
    for kind, row in zip(kinds, panels, strict=True):
        ticks = numbers_of(laws, kind)
        for budget, axes in zip(budgets, row, strict=True):
            draw_numbers(axes, [cell for cell in plain_cells(laws, kind) if cell.budget == budget], models)
            axes.set(
                xscale="log", title=f"{budget:.3g} FLOP", xlabel="LoRA rank" if kind == "lora" else "active fraction"
            )
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            finish(axes)
        row[0].set_ylabel("held-out loss, nats")
    add_legend(figure)
    save_figure(figure, out)


def draw_numbers(axes: Axes, cells: list[Cell], models: list[str]) -> None:
    """Draw loss against rank or fraction, a line for each of the models that the cells have."""
    for place, model in enumerate(models):
        points = sorted((number_of(cell), cell.loss) for cell in cells if cell.model == model)
        if points:
            colour = COLOURS(place / max(1, len(models) - 0.5))
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=member_text(model))


def add_legend(figure: Figure) -> None:
    """Put one legend beside all panels, in the order of the colours: along viridis the share of green rises."""
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    ordered = sorted(lines, key=lambda label: lines[label].get_color()[1])
    figure.legend([lines[label] for label in ordered], ordered, loc="outside right center", frameon=False, fontsize=8)


def finish(axes: Axes) -> None:
    """Give the axes a quiet frame."""
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure and free its memory."""
    figure.savefig(out)
    plt.close(figure)
