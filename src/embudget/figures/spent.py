"""What did `embudget spend` buy? Each run where it stands in the budget, and what was believed of the final loss then.

The budget is on x, in FLOP from the first run to the last, so that the length of a run's bar is its cost. A round's
belief, the expected final loss with its interval and the arm that was best, holds from the round to the next.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from embudget.errors import FigureError
from embudget.figures.cells import short_name
from embudget.figures.cost import added_flops
from embudget.figures.labels import PointLabel, direct_handle, place_labels
from embudget.figures.look import PAGE, legend_over_panels, loss_axis, mark_missing, printed
from embudget.figures.ticks import tick_text
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES, ink
from embudget.records import RunRecord
from embudget.spending.allocation import Decision, Purchase, Setting
from embudget.spending.rounds import BoughtRun, Round

CAPTION = (
    "What a budget was spent on. Each bar is a run: its length is the FLOP that it added, its height the held-out loss "
    "at its end, with a standard error. A large marker is a final run. The grey line is the final loss that was "
    "expected at each round, of the choice that was the best until then. The band holds the final loss with 90 %; "
    "early ones may leave the frame. A cross at the bottom is a run without a loss. Below is the probability that no "
    "other choice ends lower by more than 0.5 %. The choice is named where it changes."
)
NAMED = 14
"""Runs beyond which a member with a method is named once, at its lowest loss; names in a panel are at most so many."""
BARS = 400
"""Runs beyond which the bars of the search have no markers."""


class _Bar(NamedTuple):
    """A run where it stands in the budget."""

    start: float
    end: float
    loss: float | None
    """held-out, nats; None where it failed or has not ended"""
    error: float
    purchase: Purchase
    ended: bool

    @property
    def final(self) -> bool:
        """Whether it is a final run."""
        return self.purchase.purpose == "final"


@printed
def draw_spent(decisions: Sequence[Round], records: Sequence[RunRecord]) -> Figure:
    """Draw what a budget was spent on: its runs with their losses, and how the final loss became known.

    Args:
        decisions: the rounds of `embudget spend`, as `decisions.jsonl` holds them.
        records: of its store; those of runs that were not bought do not count.

    Raises:
        FigureError: nothing was decided yet.

    Example:
        >>> found = read_sources("out/runs.db")
        >>> draw_spent(found.decisions, found.records).savefig("spent.pdf")
    """
    if not decisions:
        raise FigureError("what was spent needs a decision of `embudget spend`, and none was made yet")
    starts, bars = _bars(decisions, records)
    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(PAGE, 3.6), layout="constrained", sharex=True, height_ratios=[2.6, 1]
    )
    _draw_belief(axes, decisions, starts)
    for bar in bars:
        _draw_bar(axes, bar, len(bars) <= BARS)
    lost = [(bar.start + bar.end) / 2 for bar in bars if bar.ended and bar.loss is None]
    loss_axis(axes, _heights(decisions, bars))
    mark_missing(axes, lost, 0.04, "black")
    axes.set_xlim(0.0, max(starts[-1], 1e-9) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: tick_text(value))
    _draw_probability(below, decisions, starts)
    below.set_xlabel("spent, training FLOP")
    legend_over_panels(figure, _keys(bars, bool(lost)))
    place_labels(axes, _names(bars))
    place_labels(below, _changes([one.decision for one in decisions], starts)[:NAMED])
    return figure


def _bars(decisions: Sequence[Round], records: Sequence[RunRecord]) -> tuple[list[float], list[_Bar]]:
    """What was spent before each round and at the end of all, FLOP, and the runs, one behind the other."""
    known = {record.id: record for record in records}
    bought = {run.run for one in decisions for run in one.bought}
    added = added_flops([record for run, record in known.items() if run in bought])
    came = {one.run: one for round_ in decisions for one in round_.measured}
    spent, starts, bars = 0.0, [], []
    for one in decisions:
        starts.append(spent)
        for purchase, run in zip(one.decision.purchases, one.bought, strict=False):
            record, outcome = known.get(run.run), came.get(run.run)
            end = spent + _flops(run, record, added)
            loss = outcome.loss if outcome else record.loss if record else None
            error = outcome.error if outcome else (record.loss_error or 0.0) if record else 0.0
            ended = outcome is not None or record is not None
            bars.append(_Bar(spent, end, loss, error if loss and error < loss else 0.0, purchase, ended))
            spent = end
    return [*starts, spent], bars


def _heights(decisions: Sequence[Round], bars: Sequence[_Bar]) -> list[float]:
    """The losses that y holds: those of runs, those expected, and the last interval. Early ones are wider than all."""
    losses = [end for bar in bars if bar.loss is not None for end in (bar.loss - bar.error, bar.loss + bar.error)]
    expected = [one.decision.expected_loss for one in decisions]
    return [value for value in (*losses, *expected, *decisions[-1].decision.interval) if value > 0]


def _flops(run: BoughtRun, record: RunRecord | None, added: dict[str, float]) -> float:
    """FLOP that a run added: by its record what it trained, else what was planned."""
    return run.own_flops if record is None else added[run.run]


def _draw_belief(axes: Axes, decisions: Sequence[Round], starts: Sequence[float]) -> None:
    """The expected final loss of each round with its interval, in steps."""
    expected = [one.decision.expected_loss for one in decisions]
    low, high = zip(*(one.decision.interval for one in decisions), strict=True)
    steps = dict(color=GREY, alpha=0.17, linewidth=0, step="post", zorder=1)
    axes.fill_between(starts, [*low, low[-1]], [*high, high[-1]], **steps)  # type: ignore[arg-type]
    axes.plot(starts, [*expected, expected[-1]], color=GREY, drawstyle="steps-post", linewidth=1.0, zorder=2)


def _draw_bar(axes: Axes, bar: _Bar, marked: bool) -> None:
    """A run at its loss as wide as its cost, with the marker of its kind at its end, where it was measured."""
    if bar.loss is None:
        return
    stroke = KIND_STROKES[kind_of(bar.purchase.setting.method)]
    axes.plot([bar.start, bar.end], [bar.loss] * 2, color=stroke.color, linewidth=1.4, solid_capstyle="butt", zorder=3)
    if bar.error:
        ends = [bar.loss - bar.error, bar.loss + bar.error]
        axes.plot([bar.end] * 2, ends, color=stroke.color, linewidth=0.7, zorder=3)
    if marked or bar.final:
        size = {"markersize": 6.5, "markeredgecolor": "black", "markeredgewidth": 0.8} if bar.final else {}
        axes.plot(bar.end, bar.loss, stroke.marker, color=stroke.color, zorder=4, clip_on=False, **size)  # type: ignore[arg-type]


def _draw_probability(axes: Axes, decisions: Sequence[Round], starts: Sequence[float]) -> None:
    """How sure each round was of its choice, in steps, a point where the choice changed."""
    chances = [one.decision.probability for one in decisions]
    axes.plot(starts, [*chances, chances[-1]], color=GREY, drawstyle="steps-post", linewidth=1.0)
    for start, one in _changed([one.decision for one in decisions], starts):
        stroke = KIND_STROKES[kind_of(one.best.method)]
        axes.plot(start, one.probability, stroke.marker, color=stroke.color, zorder=3, clip_on=False)
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("probability\nto be best")
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _changed(decisions: Sequence[Decision], starts: Sequence[float]) -> list[tuple[float, Decision]]:
    """The rounds whose choice of a member and method is another than that before, with what was spent."""
    found = [(starts[0], decisions[0])]
    for (_, before), (start, one) in pairwise(zip(starts, decisions, strict=False)):
        if _arm(before.best) != _arm(one.best):
            found.append((start, one))
    return found


def _changes(decisions: Sequence[Decision], starts: Sequence[float]) -> list[PointLabel]:
    """What is written where the choice changes, the last first, since that was trained."""
    return [
        PointLabel(start, one.probability, _named(one.best), _ink(one.best))
        for start, one in reversed(_changed(decisions, starts))
    ]


def _names(bars: Sequence[_Bar]) -> list[PointLabel]:
    """What is written at the bars, the final runs first, then by loss; of many, at the best of each choice alone."""
    measured = [(not bar.final, bar.loss, bar) for bar in bars if bar.loss is not None]
    measured.sort(key=lambda one: one[:2])
    if len(measured) > NAMED:
        measured = list({_arm(one[2].purchase.setting): one for one in reversed(measured)}.values())
    return [
        PointLabel((bar.start + bar.end) / 2, loss, _named(bar.purchase.setting), _ink(bar.purchase.setting))
        for _, loss, bar in sorted(measured, key=lambda one: one[:2])[:NAMED]
    ]


def _arm(setting: Setting) -> tuple[str, str]:
    return setting.model, setting.method


def _named(setting: Setting) -> str:
    """Member and method of a setting in few letters: `minilm-l6:6 full`."""
    return f"{short_name(setting.model)} {setting.method}"


def _ink(setting: Setting) -> str:
    return ink(KIND_STROKES[kind_of(setting.method)].color)


def _keys(bars: Sequence[_Bar], lost: bool) -> dict[str, Line2D]:
    drawn = {kind_of(bar.purchase.setting.method) for bar in bars if bar.loss is not None}
    keys = {k: direct_handle(s.color, s.marker, "-") for k, s in KIND_STROKES.items() if k in drawn}
    keys["expected final loss, 90 % interval"] = direct_handle(GREY)
    if any(bar.final and bar.loss is not None for bar in bars):
        keys["final run"] = direct_handle(GREY, "o", "none", markersize=6, markeredgecolor="black")
    if lost:
        keys["no loss"] = direct_handle("black", "x", "none", markersize=3)
    return keys
