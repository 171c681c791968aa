"""How does training go? Loss curves of the best run of each kind of method at each budget, and where they end held out.

Training loss is among the texts of a batch and held-out loss among `eval_candidates` texts, which are harder to tell
apart: the two have axes of their own, one above the other. The loss of one batch scatters by half of its value, so that
curves are smoothed: the value at a point is that of a straight line through the batches nearest to it in log share,
weighted by a tricube (Cleveland 1979, without his robust steps).
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from embudget.choices import evenly
from embudget.errors import FigureError
from embudget.figures.by_budget import budget_shades, missing_key
from embudget.figures.cells import part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import COLUMN, PAGE, legend_over_panels, log_axis, loss_axis, mark_missing, printed
from embudget.laws import Laws
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES
from embudget.records import RunRecord
from embudget.runs import RunTable

CAPTION = (
    "Training of the run with the lowest held-out loss, for each kind of method and budget: a column for each kind, a "
    "shade for each budget. Below is the training loss in the course of a run. It is smoothed: each point is on a line "
    "fitted to the nearest 30 % of the recorded batches. Above is the held-out loss at the end of the run, "
    "with its standard error by held-out groups. It is higher, since it tells apart more texts than a batch holds. A "
    "cross is a budget at which no run of the kind has a loss, while runs of two other kinds do."
)
MOST = 8
"""Curves of a kind. Of more budgets, so many are drawn, evenly with both ends, and the figure says so."""
NEAREST, FEWEST = 0.3, 7
"""Share of a curve's points that a value is fitted to, and the least number of them."""

Array = NDArray[np.float64]


class _Curve(NamedTuple):
    """A run with a loss, as it is drawn."""

    run: RunRecord
    loss: float
    train_flops: Array
    train_loss: Array


@printed
def draw_curves(source: Laws | RunTable, records: Sequence[RunRecord], *, lineage: str | None = None) -> Figure:
    """Draw the training of the best run of each kind of method and budget, and its held-out loss.

    Args:
        source: laws, or the table of a study: they say which members are of the lineage.
        records: of the same study.
        lineage: of the models, where there are several.

    Raises:
        FigureError: no run has a loss and a curve.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_curves(embudget.fit(records), records).savefig("curves.pdf")
    """
    models = set(part_of(source, lineage).table.models)
    best = _best([record for record in records if record.config.model in models])
    kinds = [kind for kind in KIND_STROKES if kind in best]
    if not kinds:
        raise FigureError("curves need runs with a held-out loss and the course of their training, and there are none")
    shown = {kind: [best[kind][budget] for budget in evenly(best[kind], MOST)] for kind in kinds}
    figure, above, below = _panels(len(kinds))
    every = [curve for curves in shown.values() for curve in curves]
    budgets = sorted({curve.run.config.train_flops for curve in every})
    spent = [float(end) for curve in every for end in (curve.train_flops[0], curve.train_flops[-1])]
    log_axis(below[0], "x", (), "", also=spent)
    loss_axis(above[0], [end for curve in every for end in _interval(curve)], "held-out, nats")
    loss_axis(below[0], np.concatenate([curve.train_loss for curve in every]).tolist(), "training loss, nats")
    missing = False
    for place, (kind, curves) in enumerate(shown.items()):
        shades = budget_shades(kind, budgets)
        for curve in curves:
            _draw(above[place], below[place], curve, kind, shades[curve.run.config.train_flops])
        lacking = _lacking(best, kind, budgets)
        mark_missing(above[place], lacking, 0.06)
        missing |= bool(lacking)
        told = f", {len(curves)} of {len(best[kind])} budgets" if len(curves) < len(best[kind]) else ""
        above[place].set_title(f"{kind}{told}", pad=3)
    figure.supxlabel("training FLOP", fontsize=7)
    keys = {
        "training loss, smoothed": direct_handle(GREY),
        "held-out loss at the end": direct_handle(GREY, KIND_STROKES[kinds[0]].marker, "none"),
    }
    legend_over_panels(figure, keys | (missing_key() if missing else {}))
    return figure


def smoothed(x: ArrayLike, y: ArrayLike, share: float = NEAREST) -> Array:
    """Values of straight lines through the points nearest to each x, a tricube's weight each, within their range.

    Args:
        x: rising, (n,).
        y: (n,).
        share: of the points that are near, at least FEWEST of them.

    Returns:
        (n,); y itself where there are at most two points.

    Example:
        >>> smoothed([0, 1, 2, 3], [1, 3, 5, 7]).tolist()
        [1.0, 3.0, 5.0, 7.0]
    """
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    count = min(len(at), max(FEWEST, ceil(share * len(at))))
    if count < 3:
        return values
    found = np.empty(len(at))
    for place, middle in enumerate(at):
        distances = np.abs(at - middle)
        near = np.argsort(distances, kind="stable")[:count]
        reach = 1.001 * distances[near].max()
        weights = np.sqrt((1 - (distances[near] / reach) ** 3) ** 3)
        lines = np.column_stack([np.ones(count), at[near] - middle]) * weights[:, None]
        start = np.linalg.lstsq(lines, values[near] * weights, rcond=None)[0][0]
        found[place] = np.clip(start, values[near].min(), values[near].max())
    return found


def _best(records: Sequence[RunRecord]) -> dict[str, dict[float, _Curve]]:
    """Kind -> budget -> the run with the lowest held-out loss, of those whose course was recorded; budgets rising."""
    found: dict[str, dict[float, _Curve]] = {}
    for run in sorted(records, key=lambda run: run.config.train_flops):
        if run.status != "done" or not run.loss:
            continue
        row = found.setdefault(kind_of(run.config.method), {})
        before = row.get(run.config.train_flops)
        if (before is None or run.loss < before.loss) and (curve := _curve(run, run.loss)) is not None:
            row[run.config.train_flops] = curve
    return {kind: row for kind, row in found.items() if row}


def _curve(run: RunRecord, loss: float) -> _Curve | None:
    """The smoothed course of a run; None where it was not recorded or no loss of it can stand on a logarithmic axis."""
    shares, losses = (np.array(column) for column in zip(*run.loss_curve, strict=True)) if run.loss_curve else ((), ())
    there = [share > 0 and one > 0 for share, one in zip(shares, losses, strict=True)]
    if not any(there):
        return None
    flops = np.asarray(shares)[there] * run.config.train_flops
    return _Curve(run, loss, flops, smoothed(np.log(flops), np.asarray(losses)[there]))


def _interval(curve: _Curve) -> tuple[float, float]:
    """The held-out loss less and plus its standard error, where that is known."""
    error = curve.run.loss_error or 0.0
    return max(curve.loss - error, 0.5 * curve.loss), curve.loss + error


def _panels(count: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """The axes of held-out losses above those of training, a column for each kind; those of a row share theirs."""
    width = COLUMN if count == 1 else PAGE
    figure, grid = plt.subplots(
        2, count, figsize=(width, 3.2), layout="constrained", squeeze=False, sharex=True, sharey="row",
        height_ratios=[1, 1.7],
    )  # fmt: skip
    return figure, list(grid[0]), list(grid[1])


def _draw(above: Axes, below: Axes, curve: _Curve, kind: str, color: str) -> None:
    stroke = KIND_STROKES[kind]
    end = float(curve.train_flops[-1])
    low, high = _interval(curve)
    if high > low:
        above.plot([end, end], [low, high], color=color, linewidth=0.8)
    above.plot(end, curve.loss, stroke.marker, color=color, zorder=3)
    marker = stroke.marker if len(curve.train_flops) == 1 else ""
    below.plot(curve.train_flops, curve.train_loss, marker=marker, color=color, linewidth=1.0)


def _lacking(best: dict[str, dict[float, _Curve]], kind: str, budgets: Sequence[float]) -> list[float]:
    """The budgets that only other kinds have a run of, at least two of them, so that it was meant to be compared."""
    others = {budget: sum(budget in row for other, row in best.items() if other != kind) for budget in budgets}
    return [budget for budget, count in others.items() if budget not in best[kind] and count > 1]
