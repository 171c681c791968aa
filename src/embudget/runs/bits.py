"""Are the losses of some budgets in bits, where the others' are in nats?

The losses of one model and method follow E + B / (D0 + D)^b over the tokens D, with E and B of their own, not negative,
and b and D0 of the method. Losses in bits lie 1 / ln 2 = 1.44 times above. So all ways to choose budgets are tried:
their losses are brought to nats, and the law is fitted by least squares of relative errors. Budgets are named where the
best choice

- leaves less than 1 / LESS of the squares that no choice leaves, or half of that with fewer than 2 cells a budget,
  which could be chosen one by one;
- leaves errors below WITHIN;
- leaves less than a factor for its budgets that is larger or smaller by NEAR in its logarithm.

In simulation none of 566 studies is named, nor any of 260 tables from laws that bend, runs that overfit and late
learners; with two budgets in bits 342 of 344 are. Cells further than FAR times the median
error are left out first, LOST of all at most, since single runs diverge.
"""

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.integer[Any]]
BITS = float(-np.log(np.log(2)))
"""log(1 / ln 2): how far log losses in bits lie above those in nats."""
BENDS = tuple(product((0.1, 0.2, 0.35, 0.6, 1.0, 1.6), (0.0, 0.1, 0.5, 2.0)))
"""Tried b, and D0 in units of the geometric mean of the tokens."""
LESS, WITHIN, NEAR = 4.0, 0.08, 0.15
FAR, LOST, FLOOR = 6.0, 0.15, 0.005
"""FLOOR is the relative error that any cell may have."""
MOST_LEVELS, MOST_SUBSETS, MOST_SERIES = 16, 8, 24
"""Budgets that are told apart, those of which every choice is tried, and series that are looked at."""
_FREEDOM = 4  # degrees of freedom below which nothing is said


def budgets_in_bits(method: Numbers, series: Numbers, budgets: Array, log_d: Array, log_loss: Array) -> list[float]:
    """The budgets whose losses are in bits; none where that is not plain, or all may be.

    All arguments are of the cells (n,); ``method`` numbers the method of each, ``series`` its model and method.
    """
    distinct, level = np.unique(budgets, return_inverse=True)
    if len(distinct) > MOST_LEVELS:
        edges = np.quantile(budgets, np.linspace(0, 1, MOST_LEVELS + 1)[1:-1])
        level = np.unique(np.searchsorted(edges, budgets, side="right"), return_inverse=True)[1]
    count = int(level.max()) + 1
    choices = _choices(count)
    columns = {"method": method, "series": series, "level": level, "log_d": log_d - log_d.mean(), "log_loss": log_loss}
    cells = _thinned(pd.DataFrame(columns))
    most = LOST * len(cells)
    while len(choices) and _freedom(cells) >= _FREEDOM:
        squares = _squares(cells, choices, BITS)
        chosen = choices[squares.argmin()]
        errors = _errors(cells, chosen)
        far = errors > FAR * max(float(np.median(errors)), FLOOR)
        most -= far.sum()
        if far.any() and most >= 0:
            cells = _in_series(cells[~far])
        elif _is_plain(cells, chosen, count):
            return [float(one) for one in distinct if chosen[level[budgets == one][0]]]
        else:
            break
    return []


def _thinned(cells: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_SERIES series with one row, the medians, at each budget."""
    every = np.unique(cells["series"])
    kept = every[np.linspace(0, len(every) - 1, min(len(every), MOST_SERIES)).astype(int)]
    cells = cells[cells["series"].isin(kept)]
    cells = cells.groupby(["method", "series", "level"], as_index=False).median()
    return _in_series(cells.assign(series=pd.factorize(cells["series"])[0]))  # rising, for the sums over each


def _in_series(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that are not alone in their series."""
    return cells[cells.duplicated("series", keep=False)]


def _freedom(cells: pd.DataFrame) -> int:
    return len(cells) - 2 * cells["series"].nunique() - 2 * cells["method"].nunique()


def _choices(count: int) -> Array:
    """Ways to choose some budgets of ``count`` (m, count): all, or else those side by side and any two."""
    if count <= MOST_SUBSETS:
        codes = np.arange(1, 2**count - 1)
        return (codes[:, None] >> np.arange(count) & 1).astype(float)
    places = np.arange(count)
    side_by_side = [(places >= i) & (places <= j) for i in places for j in places[i:] if j - i < count - 1]
    two = [np.isin(places, pair) for pair in combinations(range(count), 2)]
    return np.array([*side_by_side, *two], dtype=float)


def _is_plain(cells: pd.DataFrame, chosen: Array, count: int) -> bool:
    """Whether the cells ask for this choice of budgets as the module's rules say."""
    freedom = _freedom(cells)
    less, at, above, none = (
        float(_squares(cells, chosen[None], offset)[0]) + freedom * FLOOR**2
        for offset in (BITS - NEAR, BITS, BITS + NEAR, 0.0)
    )
    wanted = LESS * (1 if len(cells) >= 2 * count else 2)
    return at <= freedom * WITHIN**2 and at < min(less, above) and wanted * at <= none


def _squares(cells: pd.DataFrame, choices: Array, offset: float) -> Array:
    """The squares of relative errors that the law leaves (m,), for each choice of budgets (m, count)."""
    methods = np.unique(cells["method"], return_index=True)[1]
    every = np.array([np.add.reduceat(_law(cells, choices, offset, *bend) ** 2, methods, axis=1) for bend in BENDS])
    squares: Array = every.min(axis=0).sum(axis=1)
    return squares


def _errors(cells: pd.DataFrame, chosen: Array) -> Array:
    """The size of each cell's relative error (n,), with the losses of the chosen budgets brought to nats."""
    every = np.abs([_law(cells, chosen[None], BITS, *bend)[0] for bend in BENDS])
    errors: Array = every[(every**2).sum(axis=1).argmin()]
    return errors


def _law(cells: pd.DataFrame, choices: Array, offset: float, power: float, start: float) -> Array:
    """Fit E + B (start + D)^-power to each series, with the chosen budgets ``offset`` lower: relative errors (m, n)."""
    _, starts, codes = np.unique(cells["series"], return_index=True, return_inverse=True)
    z = (start + np.exp(cells["log_d"].to_numpy())) ** -power
    z = z / z[starts][codes]
    y = np.exp(cells["log_loss"].to_numpy() - offset * choices[:, cells["level"]])

    def total(values: Array) -> Array:
        sums: Array = np.add.reduceat(values, starts, axis=1)
        return sums

    w, wz, wzz, wy, wyz = (total(values) for values in (y**-2, z / y**2, z**2 / y**2, 1 / y, z / y))
    alone = w * wzz - wz**2  # 0 where all tokens are equal
    slope = np.divide(w * wyz - wz * wy, alone, out=np.zeros_like(w), where=alone > 1e-12 * w * wzz).clip(0)
    base = (wy - slope * wz) / w
    slope = np.where(base < 0, wyz / wzz, slope)
    errors: Array = (base.clip(0)[:, codes] + slope[:, codes] * z) / y - 1
    return errors
