"""Does a lower held-out loss go with a better score? Loss against each task's score, a point for each run.

Rank correlations are those of `embudget.findings.agree`, over all runs and within budgets: between budgets loss and
score improve together whatever their relation, so that what counts is within them. With fewer than its FEWEST runs a
task has points and no correlation.
"""

from collections.abc import Sequence
from contextlib import suppress

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from embudget.errors import FigureError, FitError, shortened
from embudget.figures.labels import direct_handle
from embudget.figures.look import LOSS, legend_over_panels, loss_axis, new_panels, printed
from embudget.findings import agree
from embudget.findings.agreement import FEWEST, HELD_OUT, MEAN, OfTask, Scored, scored_runs
from embudget.methods import kind_of
from embudget.palette import KIND_STROKES, shade
from embudget.plural import plural
from embudget.records import RunRecord

CAPTION = (
    "Held-out loss against the score of each task, a point for each run, a panel for each task; darker points have a "
    "larger budget. Above each panel stands Kendall's τ, with its 90 % interval by bootstrap over the runs: -1 where "
    "the score always falls as the loss rises. The line below it has the τ of the runs of one budget, the weakest and "
    "the strongest of them. Between budgets loss and score improve together whatever their relation, so the τ within "
    "budgets is what counts."
)
PANELS = 12
"""Most tasks that get a panel; the held-out nDCG and the mean of the tasks are always among them."""
LONGEST_TASK = 34
"""Letters of a task's name above its panel."""
MANY = 60
"""Points beyond which their markers are smaller."""
TRACED = 1500
"""Points of a panel beyond which they are kept as an image: 100,000 markers make a PDF that no reader opens."""


@printed
def draw_scores(records: Sequence[RunRecord]) -> Figure:
    """Draw held-out loss against the score of each task, with Kendall's tau over all runs and within budgets.

    Args:
        records: of a study; those without a loss, or with a loss of 0, do not count.

    Raises:
        FigureError: no run has both a loss and a score, or their losses were not measured alike.

    Example:
        >>> with embudget.Store("study.db") as store:
        ...     draw_scores(store.records()).savefig("scores.pdf")
    """
    records = [run for run in records if run.loss is None or run.loss > 0]  # a logarithmic axis has no place for 0
    try:
        every = scored_runs(records)
    except FitError as error:
        raise FigureError(str(error)) from None
    if not every:
        raise FigureError("loss against score needs runs that have both, and no run has")
    found: dict[str, OfTask] = {}
    with suppress(FitError):  # too few runs for a correlation
        found = {one.task: one for one in agree(records).tasks}
    shown = _shown(every)
    across = 2 if len(shown) == 4 else 3
    figure, panels = new_panels(len(shown), across=across, height=2.0)
    for place, (scored, axes) in enumerate(zip(shown, panels, strict=True)):
        _draw_points(axes, scored)
        axes.set_title(_told(scored, found.get(scored.task)), loc="left", pad=4, fontsize=6, linespacing=1.25)
        axes.set_ylabel("score" if place % across == 0 else "")
        axes.set_xlabel(LOSS if place >= len(shown) - across else "")
    if len(shown) < len(every):
        figure.supxlabel(f"{len(shown)} of {len(every)} scores", fontsize=6)
    drawn = {kind_of(run.config.method) for scored in shown for run in scored.runs}
    strokes = {kind: stroke for kind, stroke in KIND_STROKES.items() if kind in drawn}
    legend_over_panels(figure, {k: direct_handle(one.color, one.marker, "none") for k, one in strokes.items()})
    return figure


def _shown(every: list[Scored]) -> list[Scored]:
    """The held-out nDCG, the mean of the tasks, and the first of the tasks themselves: as many as there are panels."""
    first = [one for one in every if one.task in (HELD_OUT, MEAN)]
    return [*first, *(one for one in every if one not in first)][:PANELS]


def _draw_points(axes: Axes, scored: Scored) -> None:
    """A marker of its kind for each run, the shade of its budget; runs of few kinds are drawn over those of many."""
    budgets = sorted({run.config.train_flops for run in scored.runs})
    size = 2.6 if len(scored.runs) > MANY else 3.6
    places = {budget: 0.15 + 0.7 * place / max(len(budgets) - 1, 1) for place, budget in enumerate(budgets)}
    by_stroke: dict[tuple[str, float], list[int]] = {}
    for row, run in enumerate(scored.runs):
        by_stroke.setdefault((kind_of(run.config.method), run.config.train_flops), []).append(row)
    for (kind, budget), rows in sorted(by_stroke.items(), key=lambda item: -len(item[1])):
        stroke = KIND_STROKES[kind]
        axes.plot(
            scored.losses[rows], scored.scores[rows], stroke.marker, linestyle="none", markersize=size,
            color=shade(stroke.color, places[budget] if len(budgets) > 1 else 0.5), markeredgewidth=0.2,
            markeredgecolor="white", rasterized=len(scored.runs) > TRACED,
        )  # fmt: skip
    loss_axis(axes, scored.losses.tolist(), "", which="x")
    axes.margins(y=0.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _told(scored: Scored, task: OfTask | None) -> str:
    """The name of a task with its correlations, in three lines."""
    return "\n".join([shortened(scored.task, LONGEST_TASK), _over_all(scored, task), _within(task)])


def _over_all(scored: Scored, task: OfTask | None) -> str:
    count = plural(len(scored.runs), "run")
    if task is None:
        return f"{count}; τ needs {FEWEST}"
    if task.correlation is None:
        return f"{count}, no order to compare"
    low, high = task.correlation.kendall_interval
    return f"{count}: τ {_signed(task.correlation.kendall)} ({_signed(low)} to {_signed(high)})"


def _within(task: OfTask | None) -> str:
    """The weakest and the strongest correlation within a budget; nothing where all runs are of one budget."""
    if task is None or any(one.models == task.models for one in task.budgets):
        return ""
    values = [one.correlation.kendall for one in task.budgets if one.correlation is not None]
    if not values:
        return ""
    if len(values) == 1:
        return f"within 1 budget: τ {_signed(values[0])}"
    return f"within {len(values)} budgets: τ {_signed(max(values))} to {_signed(min(values))}"


def _signed(value: float) -> str:
    """Two digits with a minus that is as wide as a plus."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
