"""Do the cells of a table agree with their neighbours? Losses in bits or that rise, settings that change on the way.

bits        Log losses of one model and method follow a smooth curve over log D. Budgets whose losses are in bits, where
            the others' are in nats, lie log(1 / ln 2) above it, a factor of 1.44. So all ways to choose some budgets
            are tried: their cells are lowered by that, and a line through each series, whose slope and bend may differ
            by SLOPE and BEND (standard deviations, in log loss by log tokens), leaves errors of about ERROR. The remark
            needs that the best choice leaves less than 1 / LESS of the squares that no choice leaves, that its errors
            are at most twice ERROR, and that the offset that its cells show lies within NEAR of log(1 / ln 2). The
            share is halved with fewer than 2 cells a budget, which could be chosen one by one, and is a fourth where
            losses fall at every step from a chosen budget to the next and never rise onto one, as they do where models
            have just begun to learn. In simulation every pair of budgets is found with 4 sizes and 4 budgets.
a rise      Held-out losses fall with the tokens of a run. Where those of one model and method rise, the column is some
            score, such as accuracy, or the runs overfit.
settings    Where small budgets had another learning rate than large ones, a law takes what the rate does for an effect
            of the budget. A cell with three rates or more is at its best of them, so that its rate may change. Batches
            that grow with the budget are no fault in studies of embudget, which a table of records is told by through
            its column `pairs`: there the batch is a rule of the study that recipes go on with. In any other table
            nobody knows the rule, and a change by more than CHANGE is said.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from embudget.runs.cells import Remark

Array = NDArray[np.float64]
Numbers = NDArray[np.integer[Any]]
BITS = float(-np.log(np.log(2)))
"""log(1 / ln 2): how far log losses in bits lie above those in nats."""
SLOPE, BEND, ERROR = 0.1, 0.03, 0.03
"""assumption: L = E + B / D^b with b up to 0.6 has slopes from 0 to -0.4 and bends (half its curvature) up to 0.045."""
LESS, NEAR = 5.0, 0.06
MOST_LEVELS, MOST_SUBSETS, MOST_SERIES = 40, 10, 60
"""Budgets that are told apart, those of which every choice is tried, and series that are looked at."""
FAR, LOST = 6.0, 0.25
"""Times the median deviation from which on a cell is left out, and the share that may be: runs diverge."""
CHANGE = 2.0
"""Factor between the settings of small and large budgets above which we say so."""
_CERTAIN = 4.0  # standard errors by which a slope must rise


def cell_remarks(cells: pd.DataFrame, *, recorded: bool) -> Iterator[Remark]:
    """What the losses and settings of cells say; ``recorded`` where they are those of embudget's own runs."""
    names = [name for name in ("model", "method", "model_params") if name in cells]
    series = cells.groupby(names, dropna=False).ngroup().to_numpy()
    log_d, log_loss = np.log(cells["tokens"].to_numpy()), cells["log_loss"].to_numpy()
    budgets = cells["budget"].to_numpy()
    bits = budgets_in_bits(series, budgets, log_d, log_loss)
    if bits:
        at = ", ".join(f"{budget:.3g}" for budget in bits[:4]) + (f" and {len(bits) - 4} more" if len(bits) > 4 else "")
        text = (
            f"the losses at {at} FLOP lie 1.44 times above what those of the other budgets say: in bits, where the "
            "others are in nats? Bring all to nats, those rows times 0.6931 (a whole column: --columns "
            "loss=loss_bits*0.6931)"
        )
        yield Remark(about="loss", text=text)
        log_loss = log_loss - BITS * np.isin(budgets, bits)
    yield from _rise(series, log_d, log_loss)
    yield from _changes(cells, series, recorded=recorded)


def budgets_in_bits(series: Numbers, budgets: Array, log_d: Array, log_loss: Array) -> list[float]:
    """The budgets whose log losses lie as far above the others' as bits above nats; none where that is not plain.

    All arguments are of the cells (n,); ``series`` numbers the model and method of each.
    """
    distinct, level = np.unique(budgets, return_inverse=True)
    if len(distinct) > MOST_LEVELS:
        edges = np.quantile(budgets, np.linspace(0, 1, MOST_LEVELS + 1)[1:-1])
        level = np.unique(np.searchsorted(edges, budgets, side="right"), return_inverse=True)[1]
    count = int(level.max()) + 1
    if count < 3:
        return []
    cells = _thinned(series, level, log_d, log_loss)
    choices, most = _choices(count), LOST * len(cells)
    while True:
        left, offsets, at, freedom = _whitened(cells, count)
        if freedom < 4:
            return []
        gram, along = offsets.T @ offsets, offsets.T @ left
        squares = float(left @ left) - 2 * BITS * choices @ along + BITS**2 * ((choices @ gram) * choices).sum(axis=1)
        best = int(squares.argmin())
        chosen = choices[best]
        size = np.abs(left - BITS * offsets @ chosen)
        far = size > FAR * max(float(np.median(size)), 0.25)
        most -= far.sum()
        if not far.any() or most < 0:
            break
        cells = cells.drop(at[far])
    seen = float(chosen @ along) / max(float(chosen @ gram @ chosen), 1e-300)
    onto = np.diff(chosen[cells["level"]]) > 0
    falls = not (onto & (np.diff(cells["series"]) == 0)).any()
    less = LESS * (1 if len(cells) >= 2 * count else 2) * (4 if falls else 1)
    if less * squares[best] > left @ left or squares[best] > 4 * freedom or abs(seen - BITS) > NEAR:
        return []
    return [float(budget) for budget in distinct if chosen[level[budgets == budget][0]]]


def _thinned(series: Numbers, level: Numbers, log_d: Array, log_loss: Array) -> pd.DataFrame:
    """At most MOST_SERIES series with one row, the medians, at each budget."""
    every = np.unique(series)
    kept = every[np.linspace(0, len(every) - 1, min(len(every), MOST_SERIES)).astype(int)]
    cells = pd.DataFrame({"series": series, "level": level, "log_d": log_d, "log_loss": log_loss})
    return cells[np.isin(series, kept)].groupby(["series", "level"], as_index=False).median()


def _choices(count: int) -> Array:
    """Ways to choose some budgets of ``count`` (m, count): all, or else those side by side and any two."""
    if count <= MOST_SUBSETS:
        return np.array([[code >> place & 1 for place in range(count)] for code in range(1, 2**count - 1)], dtype=float)
    places = np.arange(count)
    side_by_side = [(places >= i) & (places <= j) for i in places for j in places[i:] if j - i < count - 1]
    two = [np.isin(places, pair) for pair in combinations(range(count), 2)]
    return np.array([*side_by_side, *two], dtype=float)


def _whitened(cells: pd.DataFrame, count: int) -> tuple[Array, Array, Numbers, int]:
    """What a line leaves of the log losses (m,) and of an offset at each budget (m, count), in units of the errors.

    Each series has an intercept of its own and all have one slope, which are fitted; its deviation from that slope and
    its bend have a prior, as errors that its cells have in common. The third value are the cells' places in the index
    (m,), the last the degrees of freedom.
    """
    rows, common, places = [np.zeros((0, count + 1))], [np.zeros(0)], [np.zeros(0, dtype=int)]
    for _, one in cells.groupby("series"):
        x = one["log_d"].to_numpy() - one["log_d"].mean()
        if len(one) < 2 or np.ptp(x) < 1e-9:
            continue
        bend = x**2 - (x**2).mean()
        alike = ERROR**2 * np.eye(len(one)) + SLOPE**2 * np.outer(x, x) + BEND**2 * np.outer(bend, bend)
        offsets = one["level"].to_numpy()[:, None] == np.arange(count)
        values = np.column_stack([np.ones(len(one)), x, one["log_loss"], offsets])
        scaled: Array = solve_triangular(np.linalg.cholesky(alike), values, lower=True)
        own, rest = scaled[:, 0], scaled[:, 1:]
        rest = rest - np.outer(own, own @ rest) / (own @ own)
        common.append(rest[:, 0])
        rows.append(rest[:, 1:])
        places.append(one.index.to_numpy())
    slope, every = np.concatenate(common), np.concatenate(rows)
    every = every - np.outer(slope, slope @ every) / max(float(slope @ slope), 1e-300)
    return every[:, 0], every[:, 1:], np.concatenate(places), len(every) - len(rows)


def _rise(series: Numbers, log_d: Array, log_loss: Array) -> Iterator[Remark]:
    """A remark where log losses rise with the tokens of one model and method, or over all where each has one cell."""
    together = series if len(np.unique(series)) < len(series) else np.zeros(len(series), dtype=int)
    codes, sizes = np.unique(together, return_inverse=True, return_counts=True)[1:]

    def centred(values: Array) -> Array:
        means: Array = np.bincount(codes, values) / sizes
        return values - means[codes]

    x, y = centred(log_d), centred(log_loss)
    spread = np.bincount(codes, x**2)
    varied = spread > 1e-12
    freedom = len(x) - len(sizes) - 1
    if freedom < 3 or not varied.any():
        return
    slope = float(x @ y) / float(x @ x)
    error = float(np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x @ x)))
    rising = np.bincount(codes, x * y)[varied] > 0
    if slope < _CERTAIN * error or slope <= 0 or rising.mean() < 2 / 3:
        return
    score = "it lies between 0 and 1: is it an accuracy?" if log_loss.max() <= 0 else "is it a score, such as accuracy?"
    text = (
        f"the loss rises with the tokens in {rising.sum()} of {len(rising)} series of one model and method; {score} "
        "Laws need a held-out loss in nats, which falls: --columns loss=NAME. If it is one, the runs overfit or diverge"
    )
    yield Remark(about="loss", text=text)


def _changes(cells: pd.DataFrame, series: Numbers, *, recorded: bool) -> Iterator[Remark]:
    """A remark for each setting that changes between the lower and the upper half of the budgets."""
    budgets = cells["budget"].to_numpy()
    distinct = np.unique(budgets)
    large = budgets >= distinct[len(distinct) // 2]
    alone = (cells["rate_inside"].isna() & (cells["rates"] == 1)).to_numpy()
    for name in ("learning_rate", "batch_size"):
        if name not in cells or (name == "batch_size" and recorded) or len(distinct) < 2:
            continue
        values = cells[name].to_numpy(dtype=float)
        known = alone & np.isfinite(values)
        ratios = [
            float(np.median(values[of & large]) / np.median(values[of & ~large]))
            for one in np.unique(series)
            if (of := known & (series == one))[large].any() and of[~large].any()
        ]
        times = float(np.median(ratios)) if ratios else 1.0
        if not 1 / CHANGE <= times <= CHANGE:
            text = (
                f"{name} is {times:.3g} times as high at the upper half of the budgets as at the lower, and 3 rates "
                "were not tried there: the laws take what it changes for an effect of the budget; try 3 rates in a "
                "small and a large cell, or keep it the same"
            )
            yield Remark(about=name, text=text)
