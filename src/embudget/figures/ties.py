"""Which choices cannot be told from the best? Their loss relative to it, a panel for each budget.

These are the ties of `embudget.choices.Choices`: measured sizes and methods whose predicted loss lies within one run's
noise of the lowest, or that beat the best in a tenth of the draws. What recipes call as good is the same, over the
members of a suite. Bars hold the difference to the best by 90 % of the draws; errors that all choices share are not in
them.
"""

from typing import NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from embudget.choices import Candidate, Choices, evenly, measured_candidates
from embudget.errors import FigureError
from embudget.figures.cells import StudyPart, part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import PAGE, legend_over_panels, printed
from embudget.figures.ticks import tick_text
from embudget.laws import Laws
from embudget.palette import GREY, KIND_STROKES, ink

CAPTION = (
    "The choices of method and size that the laws cannot tell from the best, a panel for each budget, the lowest "
    "predicted loss at the top. Points are predicted losses relative to the best, and bars hold the difference with "
    "90 %. A vertical tick is what was measured, relative to the best choice's measured loss, where both were. Each "
    "title says how many choices tie, out of all that were considered."
)
PANELS, ROWS = 6, 12
"""Most budgets, and most choices in a panel. Of more budgets some are drawn, evenly with both ends; of more choices the
best are, and the others counted."""
ACROSS, LONG = 3, 24
"""Panels in a row, and letters of a choice's text from which on there is one panel less."""
LEAST = 0.5
"""Per cent on either side of the best that a panel shows at least."""
ROW = 0.125
"""Height of a choice, inches."""

Array = NDArray[np.float64]


class Tie(NamedTuple):
    """A choice that is not told from the best of its budget."""

    candidate: Candidate
    worse: float
    """Predicted loss relative to the best choice's, %."""
    low: float
    high: float
    """Ends of the interval of the difference, %."""
    measured: float | None
    """The same as measured, %; None where this choice or the best one was not."""


class Flat(NamedTuple):
    """The ties of one budget, the best first."""

    budget: float
    ties: list[Tie]
    considered: int


@printed
def draw_ties(laws: Laws, *, level: float = 0.9, lineage: str | None = None) -> Figure:
    """Draw the choices that cannot be told from the best, with their loss relative to it, a panel for each budget.

    Args:
        laws: of a study.
        level: probability with which the difference to the best lies in a bar.
        lineage: of the models, where there are several.

    Raises:
        FigureError: there is one choice at every budget.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_ties(embudget.find_laws("smollm2")).savefig("ties.pdf")
    """
    part = part_of(laws, lineage)
    assert part.laws is not None
    flats = [one for one in flats_of(part.laws, level) if one.considered > 1]
    if not flats:
        raise FigureError("ties need a budget with two choices of method and size, and the study has none")
    budgets = evenly([one.budget for one in flats], PANELS)
    shown = [one for one in flats if one.budget in budgets]
    longest = max(len(_text(part, tie)) for flat in shown for tie in flat.ties[:ROWS])
    across = min(len(shown), ACROSS - (longest >= LONG))
    lines = [_longest(shown[start : start + across]) for start in range(0, len(shown), across)]
    figure, panels = _panels(len(shown), across, lines)
    for place, (axes, flat) in enumerate(zip(panels, shown, strict=True)):
        _draw_panel(axes, part, flat, lines[place // across])
    kinds = {tie.candidate.kind for flat in shown for tie in flat.ties}
    keys = {
        kind: direct_handle(stroke.color, stroke.marker, "-", linewidth=0.8)
        for kind, stroke in KIND_STROKES.items()
        if kind in kinds
    }
    keys["measured"] = direct_handle(GREY, "|", "none", markersize=5)
    if len(shown) < len(flats):
        figure.supylabel(f"{len(shown)} of {len(flats)} budgets", fontsize=6)
    legend_over_panels(figure, keys)
    return figure


def flats_of(laws: Laws, level: float = 0.9) -> list[Flat]:
    """The ties of each measured budget among the measured methods and sizes, budgets rising."""
    candidates = measured_candidates(laws.cells, laws.surface.step)
    choices = Choices.of(laws.on_study, candidates, laws.table.budgets)
    losses = {(cell.method, cell.model_params, cell.budget): cell.loss for cell in laws.cells}
    tied, predicted = choices.ties(), choices.predicted
    found = []
    for place, (budget, best) in enumerate(zip(laws.table.budgets, choices.best(), strict=True)):
        there = np.isfinite(predicted[:, place])
        if not there.any():
            continue
        rows = [int(row) for row in np.argsort(predicted[:, place], kind="stable") if tied[row, place] and there[row]]
        gaps = choices.log_losses[:, rows, place] - choices.log_losses[:, [best], place]
        low, high = 100 * np.expm1(np.quantile(gaps, ((1 - level) / 2, (1 + level) / 2), axis=0))
        mine = [losses.get(_key(candidates[row], budget)) for row in (best, *rows)]
        found.append(
            Flat(
                budget,
                [
                    Tie(
                        candidates[row],
                        100 * float(predicted[row, place] / predicted[best, place] - 1),
                        float(low[at]),
                        float(high[at]),
                        None if mine[0] is None or loss is None else 100 * (loss / mine[0] - 1),
                    )
                    for at, (row, loss) in enumerate(zip(rows, mine[1:], strict=True))
                ],
                int(there.sum()),
            )
        )
    return found


def _key(candidate: Candidate, budget: float) -> tuple[str, float, float]:
    return str(candidate.method), candidate.model_params, budget


def _panels(count: int, across: int, lines: list[int]) -> tuple[Figure, list[Axes]]:
    """So many panels in rows, each row as high as its lines need."""
    heights = [0.62 + ROW * many for many in lines]
    width = PAGE if across > 1 else PAGE / 2
    figure, grid = plt.subplots(
        len(heights), across, figsize=(width, sum(heights) + 0.3), layout="constrained", squeeze=False,
        height_ratios=heights,
    )  # fmt: skip
    panels = list(grid.flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def _longest(flats: list[Flat]) -> int:
    """Lines of the longest list in a row of panels, three at least."""
    return max(3, *(min(len(flat.ties), ROWS + 1) for flat in flats))


def _text(part: StudyPart, tie: Tie) -> str:
    return f"{part.name_of(tie.candidate.model)}, {tie.candidate.method}"


def _draw_panel(axes: Axes, part: StudyPart, flat: Flat, lines: int) -> None:
    """The ties of a budget from the top down, the texts of the choices at the left."""
    shown, more = flat.ties[:ROWS], len(flat.ties) - ROWS
    axes.axvline(0.0, color=GREY, linewidth=0.6, zorder=1)
    texts = []
    for place, tie in enumerate(shown):
        stroke = KIND_STROKES[tie.candidate.kind]
        axes.plot([tie.low, tie.high], [place, place], color=stroke.color, linewidth=0.8, zorder=2)
        axes.plot(tie.worse, place, stroke.marker, color=stroke.color, markersize=3.2, zorder=3)
        if tie.measured is not None:
            axes.plot(tie.measured, place, "|", color=ink(stroke.color), markersize=6, markeredgewidth=0.9, zorder=3.5)
        texts.append(_text(part, tie))
    if more > 0:
        texts.append(f"and {more} more")
    axes.set_yticks(range(len(texts)), texts, fontsize=5.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(lines - 0.4, -0.6)
    ends = [end for tie in shown for end in (tie.low, tie.high, tie.measured or 0.0)]
    low, high = min(-LEAST, *ends), max(LEAST, *ends)
    axes.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("loss above the best, %")
    axes.set_title(f"{tick_text(flat.budget)} FLOP: {len(flat.ties)} of {flat.considered}", pad=3)
