"""Which size is best at a budget? IsoFLOP curves of one kind of method: loss against size, a shade for each budget.

The paper's figures 2a and 4a (full, bias) and 2b and 4b (freezing, LoRA), where each point is the best over fractions
or ranks, and says which that is. A solid line is the parabola of `embudget.laws.isoflop`, drawn where it has its
minimum among the measured sizes. Without one, dots join the measured neighbours, and no line leaves a size out.
"""

from contextlib import suppress

import numpy as np
from matplotlib.axes import Axes

from embudget.errors import FitError
from embudget.figures.by_budget import budget_keys, budget_shades, draw_strip, missing_key
from embudget.figures.cells import StudyPart, best_by_size, cells_of_kind, neighbours, number_of, part_of
from embudget.figures.labels import PointLabel, direct_handle, place_labels
from embudget.figures.look import HEIGHT, SIZE, legend_above, log_axis, loss_axis, new_axes, printed
from embudget.laws import Laws
from embudget.laws.isoflop import Profile, fit_profile
from embudget.laws.tuned_losses import at_best_rates
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES, ink
from embudget.runs import Cell, RunTable

CAPTION = (
    "Loss against size, a shade for each budget. A solid line is a parabola, with + at its lowest point. Dots join "
    "neighbours where no parabola has its lowest point among the measured sizes: the best size may be missing. A cross "
    "at the bottom is a size that was not measured at the budget of its shade."
)


@printed
def draw_isoflop(
    source: Laws | RunTable, axes: Axes | None = None, *, kind: str = "full", lineage: str | None = None
) -> Axes:
    """Draw the isoFLOP curves of one kind of method, its best fraction or rank written at each point.

    Args:
        source: laws, or the table of a study.
        axes: by default those of a new figure, as wide as a paper's column.
        kind: full, freeze, bias or lora.
        lineage: of the models, where there are several.

    Raises:
        FigureError: the study has no runs of that kind.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_isoflop(embudget.find_laws("smollm2"), kind="lora").figure.savefig("isoflop-lora.pdf")
    """
    part = part_of(source, lineage)
    rows = best_by_size(cells_of_kind(part, kind))
    numbered = KIND_STROKES[kind].marker in "s^" and len({number_of(cell) for cell in cells_of_kind(part, kind)}) > 1
    axes = new_axes(axes, height=HEIGHT + 0.3 + 0.5 * numbered)
    budgets = list(part.table.budgets)
    shades = budget_shades(kind, budgets)
    profiles = _profiles(part, kind)
    for budget, row in rows.items():
        _draw_row(axes, row, part.sizes, profiles.get(budget), kind, shades[budget])
    log_axis(axes, "x", part.sizes, SIZE)
    loss_axis(axes, [cell.loss for row in rows.values() for cell in row.values()])
    missing = {budget: [size for size in part.sizes if size not in rows.get(budget, {})] for budget in budgets}
    keys = budget_keys(kind, shades)
    if profiles:
        keys["vertex"] = direct_handle(GREY, "+", "none", markersize=6)
    if draw_strip(axes, missing, shades):
        keys |= missing_key()
    legend_above(axes, keys)
    if numbered:
        by_loss = sorted((cell for row in rows.values() for cell in row.values()), key=lambda cell: cell.loss)
        place_labels(axes, [_label(cell, shades[cell.budget]) for cell in by_loss], size=5)
    return axes


def _profiles(part: StudyPart, kind: str) -> dict[float, Profile]:
    """The parabola of each budget that has its minimum among the measured sizes, as `Laws.isoflops` has them.

    They go through the losses at the best learning rates, which may lie a little below the points: see
    `embudget.laws.tuned_losses`.
    """
    cells = part.cells if part.laws is None else at_best_rates(part.laws.cells, part.laws.rate_law)
    found = {}
    for budget, row in best_by_size(cell for cell in cells if kind_of(cell.method) == kind).items():
        with suppress(FitError):
            found[budget] = fit_profile(list(row.values()))
    return found


def _draw_row(
    axes: Axes, row: dict[float, Cell], sizes: list[float], profile: Profile | None, kind: str, color: str
) -> None:
    """The points of a budget, and its parabola with the vertex, or dots between neighbours."""
    if profile is None:
        for group in neighbours(row, sizes):
            axes.plot(group, [row[size].loss for size in group], color=color, linestyle=(0, (1, 1.6)), linewidth=0.8)
    else:
        grid = np.geomspace(min(row), max(row), 60)
        axes.plot(grid, [profile(size) for size in grid], color=color, zorder=2.2)
        axes.plot(profile.model_params, profile.loss, "+", color=ink(color), markersize=6, zorder=3.2)
    axes.plot(list(row), [cell.loss for cell in row.values()], KIND_STROKES[kind].marker, color=color, zorder=3)


def _label(cell: Cell, color: str) -> PointLabel:
    return PointLabel(cell.model_params, cell.loss, f"{number_of(cell):g}", ink(color))
