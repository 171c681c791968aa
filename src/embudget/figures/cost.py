"""Where did a study's budget go? The FLOP and the time of every cell, members by methods, a panel for each budget.

Areas and not colours show amounts, so that twice the ink is twice the cost and all panels add up to the study. What a
trunk shares counts once, at the run that trained it (`RunRecord.own_share`). A run that ended early has no FLOP in its
record: it counts up to where its curve ends, without what its trunk had paid for (`embudget.study.trunks`).
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from embudget.errors import FigureError, shortened
from embudget.figures.cells import LONGEST, member_text, short_name
from embudget.figures.labels import direct_handle
from embudget.figures.look import COLUMN, PAGE, legend_over_panels, printed
from embudget.figures.ticks import tick_text
from embudget.methods import kind_of, parse_method
from embudget.palette import GREY, KIND_STROKES
from embudget.plural import plural
from embudget.records import RunRecord
from embudget.study.trunks import own_flops_of

CAPTION = (
    "What each cell cost, members by methods, a panel for each budget or for a range of budgets. The area of a filled "
    "square is the cell's share of the study's FLOP, over all its rates and seeds. What runs of one trunk share counts "
    "once, at the cheapest. The area of an outline is the share of the seconds of training: outside its square the "
    "cell was slower than the mean. A cross marks a run that failed, diverged or gained nothing; a number beside it "
    "counts several. A dot marks a cell without runs."
)
PANELS = 8
"""Budgets beyond which those near one another share a panel, since no cost may be left out."""
TALLEST = 8.0
"""Inches that the panels may take together, so that a figure fits its page."""
PITCH = 0.26
"""Most inches of a cell's side."""
ENOUGH = 0.17
"""Inches of a side beyond which a lower figure is better than larger cells."""
SHORT = 3.5
"""Inches up to which a figure stays as narrow as a column."""
TITLE, ABOVE, LETTER = 1.35, 0.36, 0.052
"""Inches: width of what is written above a panel, its height with a gap, and width of a letter of a name."""
LABEL = 0.085
"""Least inches between two names; of closer ones, some are left out."""


class _Amount(NamedTuple):
    """What the runs of a cell took."""

    train_flops: float
    seconds: float
    lost: int
    """runs that failed, diverged or gained nothing"""


class _Grid(NamedTuple):
    """Members and methods, the panels' rows and columns, with their names."""

    members: dict[str, str]
    methods: dict[str, str]


@printed
def draw_cost(records: Sequence[RunRecord]) -> Figure:
    """Draw what each cell of a study cost, in FLOP and in seconds of training.

    Args:
        records: of a study; failed runs count with what they had done.

    Raises:
        FigureError: there are no records, or none says what it cost.

    Example:
        >>> with embudget.Store("study.db") as store:
        ...     draw_cost(store.records()).savefig("cost.pdf")
    """
    flops = added_flops(records)
    whole = sum(flops.values())
    if not whole:
        raise FigureError("cost needs records of runs that trained, and there is none")
    seconds = sum(_own_seconds(record) for record in records)
    grid = _grid(records)
    groups = _budget_groups(records)
    figure, panels, pitch = _panels(len(groups), grid)
    cells = [_cells(group, flops) for group in groups]
    shares = [
        max(one.train_flops / whole, one.seconds / seconds if seconds else 0.0) for row in cells for one in row.values()
    ]
    for axes, group, amounts in zip(panels, groups, cells, strict=True):
        _draw_panel(axes, grid, amounts, whole, seconds, max(shares))
        axes.set_title(_told(group, amounts, whole, seconds), loc="left", pad=3, fontsize=6, linespacing=1.2)
    _name_axes(panels, grid, pitch)
    most = max(one.train_flops for row in cells for one in row.values())
    keys = {f"FLOP, {tick_text(whole)} in all, {tick_text(most)} the largest": direct_handle(GREY, "s", "none")}
    if seconds:
        outline = direct_handle(GREY, "s", "none", markerfacecolor="none", markersize=4.4, markeredgewidth=0.8)
        keys[f"seconds of training, {_time_text(seconds)} in all"] = outline
    if any(one.lost for row in cells for one in row.values()):
        keys["failed, diverged or no gain"] = direct_handle("black", "x", "none", markersize=3.6)
    legend_over_panels(figure, keys)
    figure.draw_without_rendering()  # the layout of square cells takes a second drawing to hold all names
    return figure


def added_flops(records: Sequence[RunRecord]) -> dict[str, float]:
    """FLOP that each run added to the cost of its study, by its id: what its trunk had trained before counts once.

    A run that ended early has no FLOP in its record: its curve says how far it came. One that never made a step is 0.
    """
    found: dict[str, float] = {}
    early = [record for record in records if record.train_flops is None]
    planned = own_flops_of(record.config for record in records) if early else {}
    for record in records:
        if record.train_flops is not None:
            found[record.id] = record.own_share * record.train_flops
        else:
            reached = record.loss_curve[-1][0] if record.loss_curve else 0.0
            before = record.config.train_flops - planned[record.id]
            found[record.id] = max(0.0, reached * record.config.train_flops - before)
    return found


def _own_seconds(record: RunRecord) -> float:
    return (record.seconds or 0.0) * record.own_share


def _grid(records: Sequence[RunRecord]) -> _Grid:
    """Members by lineage and size, methods in the paper's order, each with a name in few letters."""
    sizes = {record.config.model: record.model_params or 0 for record in sorted(records, key=_size)}
    lineages = {record.config.model: record.lineage or "" for record in records}
    members = sorted(sizes, key=lambda model: (lineages[model], sizes[model], model))
    texts = [member_text(model) for model in members]
    if len(set(texts)) < len(texts):
        texts = [short_name(model) for model in members]
    kinds = list(KIND_STROKES)
    methods = sorted(
        {record.config.method for record in records},
        key=lambda method: (kinds.index(kind_of(method)), parse_method(method).number or 0.0, method),
    )
    return _Grid(dict(zip(members, texts, strict=True)), {method: shortened(method, LONGEST) for method in methods})


def _size(record: RunRecord) -> int:
    return record.model_params or 0


def _budget_groups(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of each budget, rising; of many budgets, of each of PANELS ranges of equal ratio that has runs."""
    by_budget: dict[float, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.config.train_flops):
        by_budget.setdefault(record.config.train_flops, []).append(record)
    if len(by_budget) <= PANELS:
        return list(by_budget.values())
    low, high = min(by_budget), max(by_budget)
    ratio = (high / low) ** (1 / PANELS)
    ranges: dict[int, list[RunRecord]] = {}
    end, place = low * ratio, 0
    for budget, mine in by_budget.items():
        while budget > end * (1 + 1e-9) and place < PANELS - 1:
            end, place = end * ratio, place + 1
        ranges.setdefault(place, []).extend(mine)
    return list(ranges.values())


def _cells(group: Iterable[RunRecord], flops: dict[str, float]) -> dict[tuple[str, str], _Amount]:
    """Member and method -> what its runs of a panel took."""
    found: dict[tuple[str, str], _Amount] = {}
    for record in group:
        at = record.config.model, record.config.method
        before = found.get(at, _Amount(0.0, 0.0, 0))
        found[at] = _Amount(
            before.train_flops + flops[record.id],
            before.seconds + _own_seconds(record),
            before.lost + (record.status != "done"),
        )
    return found


def _panels(count: int, grid: _Grid) -> tuple[Figure, list[Axes], float]:
    """A figure of panels of square cells, and the cells' side, inches: the least high of those with large enough ones.

    It is as wide as a column where all fits into that.
    """
    names, under = (LETTER * max(map(len, texts.values())) + 0.15 for texts in (grid.members, grid.methods))
    layouts = []
    for width in (COLUMN, PAGE):
        for across in range(1, count + 1):
            down, slot = -(-count // across), (width - names) / across
            if across > 1 and (slot < TITLE or across > -(-count // down)):  # fewer a row make as many rows
                continue
            high = (TALLEST - ABOVE * down) / (down * len(grid.members))
            pitch = min(PITCH, (slot - 0.12) / len(grid.methods), high)
            height = down * (max(pitch * len(grid.members), 0.15) + ABOVE) + under + 0.4
            layouts.append((pitch, height, across, width))
    enough = min(0.8 * max(layouts)[0], ENOUGH)
    layouts = [one for one in layouts if one[0] >= enough]
    narrow = [one for one in layouts if one[3] == COLUMN and one[1] <= SHORT]
    pitch, height, across, width = min(narrow or layouts, key=lambda one: one[1])
    figure, grids = plt.subplots(
        -(-count // across), across, figsize=(width, height), layout="constrained", squeeze=False, sharex=True,
        sharey=True,
    )  # fmt: skip
    panels = list(grids.flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count], pitch


def _draw_panel(
    axes: Axes, grid: _Grid, amounts: dict[tuple[str, str], _Amount], whole: float, seconds: float, most: float
) -> None:
    """A square and an outline for each cell, a cross where runs were lost, a dot where there were none."""
    axes.set(xlim=(-0.5, len(grid.methods) - 0.5), ylim=(-0.5, len(grid.members) - 0.5), aspect="equal", anchor="NW")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for row, member in enumerate(grid.members):
        for column, method in enumerate(grid.methods):
            one = amounts.get((member, method))
            if one is None:
                axes.plot(column, row, ".", color="#c8c8c8", markersize=1.2)
                continue
            color = KIND_STROKES[kind_of(method)].color
            axes.add_patch(_square(column, row, one.train_flops / whole / most, facecolor=color, linewidth=0))
            if seconds:
                side = one.seconds / seconds / most
                axes.add_patch(_square(column, row, side, facecolor="none", edgecolor="black", linewidth=0.5))
            if one.lost:
                for color, width in (("white", 2.0), ("black", 0.8)):
                    axes.plot(column, row, "x", color=color, markersize=3.6, markeredgewidth=width, label="_lost")
                if one.lost > 1:
                    axes.annotate(f"{one.lost}", (column + 0.47, row - 0.47), fontsize=4.5, ha="right", va="bottom")


def _square(column: int, row: int, area: float, **options: object) -> Rectangle:
    """A square of a share of the largest area, which nearly fills its cell."""
    side = 0.92 * sqrt(area)
    return Rectangle((column - side / 2, row - side / 2), side, side, zorder=2, **options)  # type: ignore[arg-type]


def _told(group: Sequence[RunRecord], amounts: dict[tuple[str, str], _Amount], whole: float, seconds: float) -> str:
    """The budgets of a panel, its runs, and their shares of all."""
    budgets = [tick_text(record.config.train_flops) for record in group]
    name = budgets[0] if budgets[0] == budgets[-1] else f"{budgets[0]} to {budgets[-1]}"
    told = f"{name} FLOP, {plural(len(group), 'run')}\n"
    told += f"{sum(one.train_flops for one in amounts.values()) / whole:.0%} of FLOP"
    return told + (f", {sum(one.seconds for one in amounts.values()) / seconds:.0%} of time" if seconds else "")


def _name_axes(panels: Sequence[Axes], grid: _Grid, pitch: float) -> None:
    """Names of members at the left and of methods at the bottom, with gaps where they would run into one another."""
    step = max(1, -int(-LABEL // pitch)) if pitch > 0 else 1
    members, methods = list(grid.members.values()), list(grid.methods.values())
    for axes in panels:
        axes.set_xticks(range(0, len(methods), step), methods[::step], rotation=90, fontsize=5.5)
        axes.set_yticks(range(0, len(members), step), members[::step], fontsize=5.5)
    across = panels[0].get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    for place, axes in enumerate(panels):
        axes.tick_params(labelbottom=place + across >= len(panels))
        if place // across < (len(panels) - 1) // across:  # these names stand where the last row has no panel
            for name in axes.get_xticklabels():
                name.set_in_layout(False)


def _time_text(seconds: float) -> str:
    return (
        f"{seconds / 3600:.2g} h"
        if seconds >= 3600
        else f"{seconds:.2g} s"
        if seconds < 120
        else f"{seconds / 60:.2g} min"
    )
