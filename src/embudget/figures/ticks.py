"""Which values stand at a logarithmic axis, and how are they written? Measured ones first, as 4e12 or 30M.

A tick at a measured budget is read at once. Where the measured ones would run into one another, the axis has 1, 2, 5
times powers of ten, or the powers alone, at worst every third of them.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, floor, log, log10

LETTER = 0.058
"""Width of a digit, inches, at the size of tick labels."""
GAP = 1.5
"""Least gap between two labels, in letters."""
LINE = 0.13
"""Least distance between two labels above one another, inches."""


def tick_text(value: float) -> str:
    """A value in few letters: 0.25, 64, 30k, 2.5M, and 4e12 from a billion on.

    Example:
        >>> [tick_text(value) for value in (0.25, 1536, 135e6, 1.6e13)]
        ['0.25', '1.5k', '135M', '1.6e13']
    """
    for least, letter in ((1e9, None), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * least:
            if letter:
                return f"{_digits(value / least)}{letter}"
            return re.sub(r"e\+?0*", "e", f"{value:.2g}")
    return _digits(value)


def _digits(value: float) -> str:
    return f"{value:.3g}" if value >= 100 else f"{value:.2g}"


def budget_ticks(values: Sequence[float], low: float, high: float, inches: float, across: bool = True) -> list[float]:
    """The values to write at an axis from ``low`` to ``high`` that is so many inches long.

    Args:
        values: rising, the measured ones; none for 1, 2, 5 times powers of ten alone.
        low: the axis' lower end, positive.
        high: its upper end.
        inches: its length.
        across: whether labels stand beside one another, as at x; else above, as at y.
    """
    scale = inches / log(high / low)

    def fit(ticks: Sequence[float]) -> bool:
        if len({tick_text(tick) for tick in ticks}) < len(ticks):
            return False
        return all(
            scale * log(after / before) >= (_width(before, after) if across else LINE)
            for before, after in pairwise(ticks)
        )

    if values and fit(values):
        return list(values)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for leading, step in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        ticks = [first * 10.0**power for power in decades if power % step == 0 for first in leading]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2 and fit(ticks):
            return ticks
    return _spaced(values, fit)


def _spaced(values: Sequence[float], fit: Callable[[Sequence[float]], bool]) -> list[float]:
    """Those of the values, from the first, that fit beside one another."""
    kept: list[float] = []
    for value in values:
        if fit([*kept, value]):
            kept.append(value)
    return kept


def _width(before: float, after: float) -> float:
    """The least distance between the middles of two labels, inches."""
    return LETTER * ((len(tick_text(before)) + len(tick_text(after))) / 2 + GAP)
