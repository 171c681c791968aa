"""What does a cell tell about its best learning rate, and how surely?

Near the best rate r* the log loss of a cell is c log^2(r / r*) above the lowest, c its *curvature*. With s the relative
standard deviation of one run, n runs of each rate and rates h apart in their logarithm,

    inside      the vertex of the parabola through three rates is log r*, with the error  s / (c h sqrt(8 n))
    one-sided   the best rate is the lowest or the highest tried, or a third rate says nothing since its loss is too
                high. The slope g between the two best rates tells r* then, with c from other cells:

                    log r* = log middle - g / (2 c),  with the error  s / (c h sqrt(2 n))  and 40 % of g / (2 c)

    two rates   the same slope, by the curvature of other members: 60 % of g / (2 c)
    censored    the rate beside the lowest or highest diverged, so that its loss tells no distance: r* is known to lie
                beyond the middle of the two

The 40 % are the error on the step law's cells (Li et al. 2025, arXiv 2503.04715) where rates 4 times apart have the
best at an end: losses are no parabolas far from the optimum. A member of which only two rates were tried may also have
another curvature than those that told it, which scatters from member to member by 0.42 in its logarithm (20 pairs of
member and kind of method in results/smollm2 and results/micro): together 60 %, of the larger of the distance found and
the one expected, since a curvature too small exaggerates what is found.

A cell of one rate says nothing. Nor do studies of two rates alone: with the curvature a guess, slopes in N and D are
those of the truth times true / guessed curvature (`docs/log.md`, 2026-11-30).
"""

from collections.abc import Sequence
from math import exp, inf, log, sqrt
from typing import NamedTuple

import numpy as np

from embudget.methods import kind_of
from embudget.runs.cells import Cell

CURVATURE = 0.045
"""Curvature where none was measured: the geometric mean of the two published studies, 0.063 over 32 cells of smollm2
and 0.035 over 77 of micro (results/smollm2 and results/micro, records.jsonl)."""
VERTEX = 0.12
"""Standard deviation of the log of a measured best rate, noise aside: on the step law's triples of rates 4 times apart
the vertices are off by 0.1 to 0.15, since a loss is no exact parabola."""
OFF, OFF_PAIR = 0.4, 0.6
"""Relative error of a one-sided distance, and of one that two rates tell."""
NOISE, NOISE_CELLS = 0.01, 2
"""Assumption: noise of a run where no seed was repeated, and the repeats that this guess counts as where some were."""


class RatePoint(NamedTuple):
    """The best rate of a cell, or a bound of it."""

    log_rate: float
    error: float
    """Standard deviation."""
    end: int = 0
    """0: the best rate itself; -1: it lies below; 1: above."""


def rate_point(cell: Cell, curvature: float, noise: float, expected: float | None = None) -> RatePoint | None:
    """What the envelope of a cell tells; None where it has none, or says nothing.

    Args:
        cell: any.
        curvature: of its kind of method.
        noise: relative standard deviation of one run.
        expected: the best rate by a law, if there is one. It sets the error of a one-sided distance: the distance found
            would give those cells the most weight in which noise has made it small, and so flatten the law.
    """
    if cell.learning_rate is None or cell.lowest_rate is None or cell.highest_rate is None:
        return None
    apart = log(cell.highest_rate / cell.lowest_rate) / max(cell.rates - 1, 1)
    of_noise = noise / (curvature * apart * sqrt(2 * cell.seeds))
    if cell.rate_inside and (cell.rate_curvature is not None or cell.rate_middle is None):
        return RatePoint(log(cell.learning_rate), float(np.hypot(of_noise / 2, VERTEX)))
    end = end_of(cell)
    if cell.rate_middle is not None and cell.rate_slope is not None:
        most = apart / 2 if cell.rate_inside else inf
        distance = min(max(-cell.rate_slope / (2 * curvature), -most), most)
        far = abs(distance if expected is None else log(expected / cell.rate_middle))
        off = OFF * far if cell.rate_inside is not None else OFF_PAIR * max(far, abs(distance))
        return RatePoint(log(cell.rate_middle) + distance, sqrt(of_noise**2 + VERTEX**2 + off**2))
    if end == 0:
        return None
    return RatePoint(
        log(cell.rate_middle or cell.learning_rate * exp(-end * apart / 2)), float(np.hypot(of_noise, VERTEX)), end
    )


def end_of(cell: Cell) -> int:
    """-1 where the lowest rate tried is a cell's best, 1 where the highest is, else 0."""
    if cell.rate_inside or cell.learning_rate is None:
        return 0
    return -int(cell.learning_rate == cell.lowest_rate) or int(cell.learning_rate == cell.highest_rate)


def curvatures_of(cells: Sequence[Cell]) -> dict[str, float]:
    """The curvature of each kind of method among the cells.

    The logarithms of a kind's cells are averaged and drawn towards those of all kinds, as if these were one more cell;
    that of all kinds is drawn towards CURVATURE in the same way.
    """
    logs: dict[str, list[float]] = {kind_of(cell.method): [] for cell in cells}
    for cell in cells:
        if cell.rate_curvature is not None:
            logs[kind_of(cell.method)].append(log(cell.rate_curvature))
    every = [value for known in logs.values() for value in known]
    common = float(np.mean([*every, log(CURVATURE)]))
    return {kind: exp(float(np.mean([*known, common]))) for kind, known in logs.items()}


def noise_of(cells: Sequence[Cell]) -> float:
    """The relative standard deviation of one run, from the seeds of the cells and the guess NOISE."""
    squares = sum(cell.weight * cell.seed_squares for cell in cells)
    repeats = sum(cell.seeds - 1 for cell in cells)
    return sqrt((squares + NOISE_CELLS * NOISE**2) / (repeats + NOISE_CELLS))
